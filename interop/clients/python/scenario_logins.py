"""The cases of interop/clients/CASES.md with users and rules, on nodes of their own: confluent-kafka and Kafka's tools."""

import socket
import urllib.error
import urllib.request

import confluent_kafka
import pika
from confluent_kafka import admin
from own_nodes import LIMIT_SECONDS, Node, file
from report import Skip, eventually, name_of, refused, run

TOPIC, LITERAL, PREFIXED = admin.ResourceType.TOPIC, admin.ResourcePatternType.LITERAL, admin.ResourcePatternType.PREFIXED
SHA_256, SHA_512 = admin.ScramMechanism.SCRAM_SHA_256, admin.ScramMechanism.SCRAM_SHA_512

NODE = Node("users", has_tls=False)
NODE.add_user("root", "root-secret", "--tag", "administrator")
NODE.add_user("tim", "tim-secret")


def login(user, password=None, mechanism="SCRAM-SHA-256"):
    return {
        "bootstrap.servers": NODE.ports["kafka"],
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password or user + "-secret",
    }


ROOT = admin.AdminClient(login("root"))


def done(futures):
    """What each of them gave."""
    return {key: future.result(LIMIT_SECONDS) for key, future in futures.items()}


def binding(kind, name, pattern, user, operation, permission=admin.AclPermissionType.ALLOW):
    return admin.AclBinding(kind, name, pattern, "User:" + user, "*", operation, permission)


def meant(user=None, pattern=admin.ResourcePatternType.ANY, name=None):
    who = user and "User:" + user
    return admin.AclBindingFilter(admin.ResourceType.ANY, name, pattern, who, None, admin.AclOperation.ANY, admin.AclPermissionType.ANY)


def described(which):
    return ROOT.describe_acls(which, request_timeout=LIMIT_SECONDS).result(LIMIT_SECONDS)


def rules():
    user, topic = name_of("user"), name_of("rules")
    bindings = [
        binding(TOPIC, topic, LITERAL, user, admin.AclOperation.READ),
        binding(TOPIC, "rules-", PREFIXED, user, admin.AclOperation.WRITE, admin.AclPermissionType.DENY),
        binding(admin.ResourceType.GROUP, "*", LITERAL, user, admin.AclOperation.ALL),
        binding(admin.ResourceType.BROKER, "kafka-cluster", LITERAL, user, admin.AclOperation.ALTER),
    ]
    done(ROOT.create_acls(bindings))
    assert set(described(meant(user))) == set(bindings)
    assert set(described(meant(user, admin.ResourcePatternType.MATCH, topic))) == set(bindings[:3])
    gone = done(ROOT.delete_acls([meant(user, LITERAL), meant("nobody-" + user)]))
    assert sorted(len(each) for each in gone.values()) == [0, 3]
    assert described(meant(user)) == [bindings[1]]


def rule_refused():
    wrong = binding(admin.ResourceType.BROKER, "no-cluster", LITERAL, "tim", admin.AclOperation.ALTER)
    right = binding(TOPIC, name_of("rules"), LITERAL, "tim", admin.AclOperation.READ)
    futures = ROOT.create_acls([wrong, right])
    refused(lambda: futures[wrong].result(LIMIT_SECONDS), "INVALID_REQUEST")
    futures[right].result(LIMIT_SECONDS)
    assert right in described(meant("tim"))


def rules_forbidden():
    tim = admin.AdminClient(login("tim"))
    forbidden = "CLUSTER_AUTHORIZATION_FAILED"
    right = binding(TOPIC, "anything", LITERAL, "tim", admin.AclOperation.ALL)
    refused(lambda: tim.create_acls([right])[right].result(LIMIT_SECONDS), forbidden)
    # librdkafka keeps this refusal to itself and gives an empty list; of passwords it crashes on one.
    done(ROOT.create_acls([binding(TOPIC, name_of("rules"), LITERAL, "tim", admin.AclOperation.READ)]))
    assert tim.describe_acls(meant()).result(LIMIT_SECONDS) == []
    refused(lambda: done(tim.delete_acls([meant()])), forbidden)
    upsertion = admin.UserScramCredentialUpsertion("tim", admin.ScramCredentialInfo(SHA_256, 4096), b"mine")
    refused(lambda: done(tim.alter_user_scram_credentials([upsertion])), forbidden)


def rules_hold():
    user, topic = name_of("user"), name_of("rules")
    NODE.add_user(user, user + "-secret")
    done(ROOT.create_topics([admin.NewTopic(topic, 1)]))

    def produced():
        told = []
        producer = confluent_kafka.Producer({**login(user), "message.timeout.ms": 5000})
        producer.produce(topic, b"x", on_delivery=lambda error, _: told.append(error))
        producer.flush(LIMIT_SECONDS)
        return told[0]

    assert produced().name() == "TOPIC_AUTHORIZATION_FAILED"
    allowed = binding(TOPIC, topic, LITERAL, user, admin.AclOperation.WRITE)
    done(ROOT.create_acls([allowed]))
    eventually(lambda: produced() is None)
    denied = binding(TOPIC, "rules-", PREFIXED, user, admin.AclOperation.WRITE, admin.AclPermissionType.DENY)
    done(ROOT.create_acls([denied]))
    eventually(lambda: produced() is not None)
    done(ROOT.delete_acls([meant(user)]))


def passwords():
    user = name_of("user")
    upsertion = admin.UserScramCredentialUpsertion(user, admin.ScramCredentialInfo(SHA_512, 8192), b"first", b"some-salt")
    done(ROOT.alter_user_scram_credentials([upsertion]))
    told = done(ROOT.describe_user_scram_credentials([user]))[user].scram_credential_infos
    assert [(info.mechanism, info.iterations) for info in told] == [(SHA_512, 8192)]
    mine = admin.AdminClient(login(user, "first", "SCRAM-SHA-512"))
    assert mine.list_topics(timeout=LIMIT_SECONDS).brokers
    done(ROOT.alter_user_scram_credentials([admin.UserScramCredentialDeletion(user, SHA_512)]))
    refused(lambda: done(ROOT.describe_user_scram_credentials([user])), "RESOURCE_NOT_FOUND")
    late = admin.AdminClient(login(user, "first", "SCRAM-SHA-512"))
    refused(lambda: late.list_topics(timeout=3), "_TRANSPORT", "_AUTHENTICATION", "_TIMED_OUT")
    everybody = ROOT.describe_user_scram_credentials().result(LIMIT_SECONDS)
    assert {"root", "tim"} <= set(everybody) and user not in everybody


def passwords_refused():
    cases = [
        (admin.UserScramCredentialUpsertion("a", admin.ScramCredentialInfo(SHA_256, 100), b"x"), "UNACCEPTABLE_CREDENTIAL"),
        (admin.UserScramCredentialUpsertion("a", admin.ScramCredentialInfo(SHA_256, 20000), b"x"), "UNACCEPTABLE_CREDENTIAL"),
        (admin.UserScramCredentialUpsertion("ANONYMOUS", admin.ScramCredentialInfo(SHA_256, 4096), b"x"), "UNACCEPTABLE_CREDENTIAL"),
        (admin.UserScramCredentialDeletion("nobody", SHA_256), "RESOURCE_NOT_FOUND"),
    ]
    for case, code in cases:
        refused(lambda: done(ROOT.alter_user_scram_credentials([case])), code)
    twice = [admin.UserScramCredentialDeletion("tim", SHA_256), admin.UserScramCredentialDeletion("tim", SHA_512)]
    refused(lambda: done(ROOT.alter_user_scram_credentials(twice)), "DUPLICATE_RESOURCE")


def own_address():
    """Where other machines reach this one; as good as another machine's to whoever is reached there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect(("192.0.2.1", 9))  # sends nothing
        except OSError as error:
            raise Skip("no network") from error
        return udp.getsockname()[0]


def metrics_code(node, path):
    try:
        with urllib.request.urlopen("http://%s%s" % (node.ports["admin"], path), timeout=LIMIT_SECONDS) as page:
            return page.status
    except urllib.error.HTTPError as error:
        return error.code


def amqp_as(node, user, password):
    host, port = node.ports["amqp"].rsplit(":", 1)
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), credentials=credentials, socket_timeout=10))


def strangers():
    node = Node("strangers", has_tls=False, host=own_address())
    stranger = admin.AdminClient({"bootstrap.servers": node.ports["kafka"]})
    refused(lambda: stranger.list_topics(timeout=3), "_TRANSPORT", "_TIMED_OUT")
    refused(lambda: amqp_as(node, "guest", "guest"), "ProbableAuthentication")
    assert (metrics_code(node, "/metrics"), metrics_code(node, "/readyz")) == (403, 200)
    with open(file("strangers.log")) as log:
        assert "weir user add NAME --tag administrator --node " + node.ports["cluster"] in log.read()
    node.add_user("root", "root-secret", "--tag", "administrator")
    known = admin.AdminClient({**login("root"), "bootstrap.servers": node.ports["kafka"]})
    assert known.list_topics(timeout=LIMIT_SECONDS).brokers
    assert metrics_code(node, "/metrics") == 200


def strangers_allowed():
    node = Node("anybody", "--allow-anonymous", has_tls=False, host=own_address())
    stranger = admin.AdminClient({"bootstrap.servers": node.ports["kafka"]})
    assert stranger.list_topics(timeout=LIMIT_SECONDS).brokers
    amqp_as(node, "guest", "guest").close()
    assert metrics_code(node, "/metrics") == 200
    node.add_user("root", "root-secret", "--tag", "administrator")
    late = admin.AdminClient({"bootstrap.servers": node.ports["kafka"]})
    refused(lambda: late.list_topics(timeout=3), "_TRANSPORT", "_TIMED_OUT")
    refused(lambda: amqp_as(node, "guest", "guest"), "ProbableAuthentication")


def tool(name, *words):
    code, told = NODE.kafka_tool(name, *words)
    assert code == 0, told
    return told


def tool_rules():
    user, topic = name_of("user"), name_of("rules")
    acls = "org.apache.kafka.tools.AclCommand"
    tool(acls, "--add", "--allow-principal", "User:" + user, "--consumer", "--topic", topic, "--group", "*")
    told = tool(acls, "--list", "--topic", topic)
    assert "principal=User:%s, host=*, operation=READ, permissionType=ALLOW" % user in told, told
    tool(acls, "--remove", "--force", "--topic", topic)
    assert user not in tool(acls, "--list", "--topic", topic)


def tool_passwords():
    user = name_of("user")
    configs = ["kafka.admin.ConfigCommand", "--alter", "--entity-type", "users", "--entity-name", user]
    told = tool(*configs, "--add-config", "SCRAM-SHA-256=[iterations=8192,password=first]")
    assert "Completed updating config for user %s." % user in told, told
    assert admin.AdminClient(login(user, "first")).list_topics(timeout=LIMIT_SECONDS).brokers
    tool(*configs, "--delete-config", "SCRAM-SHA-256")
    refused(lambda: done(ROOT.describe_user_scram_credentials([user])), "RESOURCE_NOT_FOUND")


CASES = [
    ("strangers", strangers),
    ("strangers-allowed", strangers_allowed),
    ("acls", rules),
    ("acls-refused", rule_refused),
    ("acls-forbidden", rules_forbidden),
    ("acls-hold", rules_hold),
    ("scram-users", passwords),
    ("scram-users-refused", passwords_refused),
    ("kafka-acls", tool_rules),
    ("kafka-configs-users", tool_passwords),
]
run(confluent_kafka.__version__, CASES)
