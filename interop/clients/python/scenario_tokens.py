"""The cases of interop/clients/CASES.md with tokens, on nodes of their own: confluent-kafka, Kafka's tools, pika."""

import http.server
import os
import ssl
import subprocess
import threading
import time

import confluent_kafka
import pika
from confluent_kafka import admin
from own_nodes import DIRECTORY, LIMIT_SECONDS, Node, authority, file, issue
from report import Skip, eventually, name_of, refused, run
from tokens import Key, key_set

FIRST, SECOND, STRANGE = Key("first"), Key("second"), Key("strange")


def keys_in(name, *keys):
    """Puts a key set into a file at once, as whoever looks at it wants."""
    with open(file(name + ".new"), "w") as out:
        out.write(key_set(*keys))
    os.rename(file(name + ".new"), file(name))
    return file(name)


WANTED = ["--token-issuer", "https://id.example", "--token-audience", "weir", "--token-clock-skew-ms", "0", "--token-scope-prefix", "weir."]
NODE = Node("tokens", "--token-keys", keys_in("keys.json", FIRST), *WANTED, has_tls=False)
NODE.add_user("root", "root-secret", "--tag", "administrator")


def by_token(make, node=NODE):
    """Settings of a client that asks `make` for each token."""

    def callback(_):
        token, seconds = make()
        return token, time.time() + seconds

    return {
        "bootstrap.servers": node.ports["kafka"],
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "OAUTHBEARER",
        "oauth_cb": callback,
    }


def admin_of(make, node=NODE):
    client = admin.AdminClient(by_token(make, node))
    client.poll(0)
    return client


def topic_for(name):
    topic = name_of("tokens")
    NODE.weir("acl", "add", "allow", name, "all", "topic", topic)
    NODE.weir("acl", "add", "allow", name, "create", "cluster")
    return topic


def stored(producer, topic, count=1):
    told = []
    for number in range(count):
        producer.produce(topic, b"%d" % number, on_delivery=lambda error, _: told.append(error))
    producer.flush(LIMIT_SECONDS)
    return len(told) == count and all(error is None for error in told)


def come_in():
    name = name_of("service")
    topic = topic_for(name)
    NODE.weir("acl", "add", "allow", name, "all", "group", topic)

    def make():
        return FIRST.token(name), 600

    producer = confluent_kafka.Producer(by_token(make))
    eventually(lambda: stored(producer, topic))
    consumer = confluent_kafka.Consumer({**by_token(make), "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    got = eventually(lambda: consumer.poll(1.0), LIMIT_SECONDS)
    assert got.value() == b"0", got.error()
    consumer.close()


def named_and_forbidden():
    client = admin_of(lambda: (FIRST.token("nobody"), 600))
    assert client.list_topics(timeout=LIMIT_SECONDS).topics == {}
    futures = client.create_topics([admin.NewTopic(name_of("forbidden"), 1)])
    refused(lambda: [future.result(LIMIT_SECONDS) for future in futures.values()], "AUTHORIZATION_FAILED")


def not_believed():
    wrong = [
        STRANGE.token("root"),
        FIRST.token("root", -60),
        FIRST.token("root", iss="https://other.example"),
        FIRST.token("root", aud="another"),
        FIRST.token("root", nbf=int(time.time()) + 600),
        FIRST.token("*"),
    ]
    for token in wrong:
        told = []
        # What the token says to the client is none of its business.
        settings = {**by_token(lambda: (token, 600)), "error_cb": told.append}
        client = admin.AdminClient(settings)
        refused(lambda: client.list_topics(timeout=3), "_TRANSPORT", "_AUTHENTICATION", "_TIMED_OUT")
        client.poll(1)
        assert any("invalid_token" in str(error) for error in told), told


def renewed():
    """The same connections serve on, longer than any of its tokens holds."""
    name, made = name_of("service"), []
    topic = topic_for(name)

    def make():
        made.append(time.monotonic())
        # Asked for again well before it ends: who logs in with one that has half a second left is to do so
        # once more before that, which is too soon after the last time (Kafka's 1 s).
        return FIRST.token(name, 7), 5

    lost = []
    settings = {**by_token(make), "error_cb": lost.append, "message.timeout.ms": 20000}
    producer = confluent_kafka.Producer(settings)
    eventually(lambda: stored(producer, topic))
    lost.clear()
    end = time.monotonic() + 14
    while time.monotonic() < end:
        assert stored(producer, topic)
        time.sleep(0.3)
    assert len(made) >= 3, made
    assert not lost, lost


def ended():
    """Whoever gets no other token is served no longer."""
    name, made = name_of("service"), []
    topic = topic_for(name)

    def make():
        if not made:
            made.append(FIRST.token(name, 4))
        return made[0], 600

    lost = []
    settings = {**by_token(make), "message.timeout.ms": 3000, "error_cb": lost.append}
    producer = confluent_kafka.Producer(settings)
    eventually(lambda: stored(producer, topic))
    time.sleep(5)
    assert not stored(producer, topic)
    assert any("invalid_token" in str(error) for error in lost), lost


def rotated():
    name = name_of("service")

    def comes_in(key):
        try:
            client = admin_of(lambda: (key.token(name), 600))
            return client.list_topics(timeout=2) is not None
        except confluent_kafka.KafkaException:
            return False

    assert comes_in(FIRST) and not comes_in(SECOND)
    keys_in("keys.json", FIRST, SECOND)
    eventually(lambda: comes_in(SECOND))
    assert comes_in(FIRST)
    keys_in("keys.json", SECOND)
    eventually(lambda: not comes_in(FIRST))
    with open(file("keys.json"), "w") as out:
        out.write("{")
    time.sleep(6)
    assert comes_in(SECOND)
    keys_in("keys.json", FIRST)
    eventually(lambda: comes_in(FIRST))


class Provider:
    """An identity provider's keys, over HTTPS."""

    def __init__(self, port=0):
        self.keys, self.asked = key_set(FIRST), 0
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked += 1
                body = provider.keys.encode()
                self.send_response(200 if self.path == "/jwks?v=1" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("localhost", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file("provider.pem"), file("provider.key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def port(self):
        return self.server.server_address[1]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def from_url():
    """Keys by HTTPS: asked for again when a token names another one, and kept while nobody answers."""
    authority("provider-ca")
    issue("provider", "provider-ca")
    provider = Provider()
    port, name = provider.port(), name_of("service")
    where = "https://localhost:%d/jwks?v=1" % port
    node = Node("urls", "--token-keys", where, "--token-keys-ca-file", file("provider-ca.pem"), *WANTED, has_tls=False)
    node.add_user("root", "root-secret", "--tag", "administrator")

    def comes_in(key):
        try:
            client = admin_of(lambda: (key.token(name), 600), node)
            return client.list_topics(timeout=2) is not None
        except confluent_kafka.KafkaException:
            return False

    assert comes_in(FIRST) and not comes_in(SECOND)
    provider.keys = key_set(SECOND)
    eventually(lambda: comes_in(SECOND), 30)
    assert not comes_in(FIRST)
    # However often it is tried, the provider is not.
    asked, began = provider.asked, time.monotonic()
    for _ in range(5):
        assert not comes_in(STRANGE)
    assert provider.asked - asked <= 1 + (time.monotonic() - began) / 10, provider.asked
    provider.stop()
    time.sleep(11)
    assert not comes_in(STRANGE) and comes_in(SECOND)
    provider = Provider(port)
    provider.keys = key_set(STRANGE)
    eventually(lambda: comes_in(STRANGE), 30)
    provider.stop()


def java():
    """Kafka's own client, which checks what it sends as well."""
    path = os.environ.get("KAFKA_CLASS_PATH")
    if not path:
        raise Skip("Kafka's tools are not there")
    name = name_of("service")
    topic = topic_for(name)
    with open(file("java.token"), "w") as out:
        out.write(FIRST.token(name, scope="all"))
    handler = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"
    with open(file("java.properties"), "w") as properties:
        properties.write("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n")
        properties.write("sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;\n")
        properties.write("sasl.login.callback.handler.class=%s\n" % handler)
        properties.write("sasl.oauthbearer.token.endpoint.url=file://%s\n" % file("java.token"))
    options = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
    options += ["-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://%s" % file("java.token")]
    options += ["-Dorg.apache.kafka.sasl.oauthbearer.allowed.files=%s" % file("java.token")]
    command = ["java", *options, "-cp", path, "org.apache.kafka.tools.TopicCommand"]
    command += ["--bootstrap-server", NODE.ports["kafka"], "--command-config", file("java.properties")]

    def tool(*words):
        done = subprocess.run([*command, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS, cwd=DIRECTORY)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    code, told = tool("--create", "--topic", topic)
    assert code == 0 and "Created topic " + topic in told, told
    with open(file("java.token"), "w") as out:
        out.write(STRANGE.token(name, scope="all"))
    code, told = tool("--list")
    assert code != 0 and "invalid_token" in told, told


SCOPES = "openid weir.configure:*/%s weir.read:*/%s weir.write:*/*"


def amqp_by(token, user="whoever", node=NODE):
    host, port = node.ports["amqp"].rsplit(":", 1)
    credentials = pika.PlainCredentials(user, token)
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), credentials=credentials, socket_timeout=10))


def sent_and_got(channel, queue, body):
    channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", queue, body)
    got = eventually(lambda: channel.basic_get(queue, auto_ack=True)[2])
    assert got == body, got


def pika_scopes():
    """What its scopes allow, and nothing else; the name beside a token says nothing."""
    queue, other = name_of("tokens"), name_of("other")
    with amqp_by(FIRST.token("service", scope=SCOPES % (queue, queue)), user="root") as connection:
        sent_and_got(connection.channel(), queue, b"by scopes")
        channel = connection.channel()
        refused(lambda: channel.queue_declare(other), "ACCESS_REFUSED", "refused for user 'service'")
        channel = connection.channel()
        as_root = pika.BasicProperties(user_id="root")
        channel.confirm_delivery()
        refused(lambda: channel.basic_publish("", queue, b"", as_root), "user_id property set to 'root'")
    topics = "weir.write:*/amq.topic/eu.* weir.read:*/x"
    with amqp_by(FIRST.token("service", scope=topics)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("amq.topic", "eu.orders", b"")
        refused(lambda: channel.basic_publish("amq.topic", "us.orders", b""), "write access to topic 'us.orders'")
    refused(lambda: amqp_by(FIRST.token("service", scope="openid")), "access to vhost '/' refused for user 'service'")


def pika_rules():
    """A user's permissions count for whom a token names as well."""
    name, queue = name_of("service"), name_of("tokens")
    NODE.weir("user", "add", name, "--no-password")
    refused(lambda: amqp_by(FIRST.token(name)), "access to vhost '/' refused")
    NODE.weir("user", "grant", name, "--configure", ".*", "--write", ".*", "--read", ".*")
    with amqp_by(FIRST.token(name)) as connection:
        sent_and_got(connection.channel(), queue, b"by rules")
        NODE.weir("user", "disable", name)
        refused(lambda: eventually(lambda: connection.process_data_events(0.2)), "was disabled")
    refused(lambda: amqp_by(FIRST.token(name)), "ACCESS_REFUSED", "ProbableAuthentication")


def pika_not_believed():
    scope = "weir.read:*/* weir.write:*/*"
    for wrong in [
        STRANGE.token("service", scope=scope),
        FIRST.token("service", -60, scope=scope),
        FIRST.token("service", aud="another", scope=scope),
        FIRST.token("service", scope=scope)[:-2],
    ]:
        refused(lambda: amqp_by(wrong), "ACCESS_REFUSED", "ProbableAuthentication")


def pika_renewed():
    """One connection goes on past the end of its first token, with what the next one allows."""
    queue, other = name_of("tokens"), name_of("other")

    def token(name, seconds=5):
        return FIRST.token("service", seconds, scope=SCOPES % (name, name))

    with amqp_by(token(queue)) as connection:
        channel, end = connection.channel(), time.monotonic() + 12
        cancelled = []
        channel.queue_declare(queue)
        channel.basic_consume(queue, lambda *_: None)
        channel.add_on_cancel_callback(cancelled.append)
        while time.monotonic() < end:
            connection.process_data_events(1)
            connection.update_secret(token(queue), "it ends soon")
            channel.basic_publish("", queue, b"x")
        assert not cancelled
        connection.update_secret(token(other, 600), "another task")
        eventually(lambda: connection.process_data_events(0.2) or cancelled)
        channel.queue_declare(other)
        refused(lambda: channel.queue_declare(name_of("third")), "ACCESS_REFUSED")
    for wrong in [FIRST.token("another", scope=SCOPES % ("*", "*")), STRANGE.token("service"), "secret"]:
        connection = amqp_by(token(queue, 600))
        refused(lambda: connection.update_secret(wrong, "wrong"), "530", "New secret was refused by one of the backends")
        assert connection.is_closed


def pika_ended():
    queue = name_of("tokens")
    connection = amqp_by(FIRST.token("service", 4, scope=SCOPES % (queue, queue)))
    channel = connection.channel()
    channel.queue_declare(queue)
    refused(lambda: eventually(lambda: connection.process_data_events(0.2)), "320", "credential expired")
    assert connection.is_closed


CASES = [
    ("tokens-kafka", come_in),
    ("tokens-kafka-forbidden", named_and_forbidden),
    ("tokens-kafka-refused", not_believed),
    ("tokens-kafka-renewed", renewed),
    ("tokens-kafka-ended", ended),
    ("tokens-kafka-java", java),
    ("tokens-pika-scopes", pika_scopes),
    ("tokens-pika-rules", pika_rules),
    ("tokens-pika-refused", pika_not_believed),
    ("tokens-pika-renewed", pika_renewed),
    ("tokens-pika-ended", pika_ended),
    ("tokens-new-keys", rotated),
    ("tokens-url", from_url),
]
run(confluent_kafka.__version__, CASES)
