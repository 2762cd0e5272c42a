"""The cases of interop/clients/CASES.md that TLS adds, on a node of their own: kcat, confluent-kafka, pika, openssl."""

import os
import ssl
import subprocess
import time

import confluent_kafka
import pika
from own_nodes import LIMIT_SECONDS, Node, authority, file, issue, openssl
from report import eventually, name_of, refused, run

for each in ["ca", "other"]:
    authority(each)
for each in ["node", "alice", "bob"]:
    issue(each)
issue("mallory", "other")
OPEN = Node("open")
CLOSED = Node("closed", "--tls-client-auth", "require", "--tls-client-ca-file", file("ca.pem"))

NAMING = ["--kafka-tls-principal-rules", "RULE:^.*CN=([^,]*).*$/$1/,DEFAULT", "--amqps-login-from", "common_name"]
NAMED = Node("named", "--tls-client-auth", "want", "--tls-client-ca-file", file("ca.pem"), *NAMING)


def kafka(node, client=None, ca="ca"):
    options = {"bootstrap.servers": node.ports["kafka-tls"], "security.protocol": "ssl", "ssl.ca.location": file(ca + ".pem")}
    if client:
        options.update({"ssl.certificate.location": file(client + ".pem"), "ssl.key.location": file(client + ".key")})
    return options


def kcat(node, words, text="", **more):
    options = [word for pair in kafka(node, **more).items() for word in ["-X", "%s=%s" % pair]]
    done = subprocess.run(["kcat", *words, *options], input=text.encode(), capture_output=True, timeout=LIMIT_SECONDS)
    return done.returncode, done.stdout.decode()


def amqp(node, client=None, ca="ca", version=None, credentials=None):
    context = ssl.create_default_context(cafile=file(ca + ".pem"))
    if client:
        context.load_cert_chain(file(client + ".pem"), file(client + ".key"))
    if version:
        context.minimum_version = context.maximum_version = version
    host, port = node.ports["amqps"].rsplit(":", 1)
    options = pika.SSLOptions(context, "localhost")
    given = {"credentials": credentials} if credentials else {}
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), ssl_options=options, socket_timeout=10, **given))


def kcat_round_trip():
    for node, client in [(OPEN, None), (CLOSED, "alice")]:
        topic, lines = name_of("tls"), "".join("line %d\n" % number for number in range(1000))
        assert kcat(node, ["-P", "-t", topic], lines, client=client)[0] == 0
        code, read = kcat(node, ["-C", "-t", topic, "-o", "beginning", "-e", "-q"], client=client)
        assert (code, read) == (0, lines)


def kcat_refused():
    for node, client, ca in [(OPEN, None, "other"), (CLOSED, None, "ca"), (CLOSED, "mallory", "ca")]:
        code, _ = kcat(node, ["-L", "-m", "5"], client=client, ca=ca)
        assert code != 0, (client, ca)


def confluent_group():
    topic = name_of("tls")
    producer = confluent_kafka.Producer({**kafka(CLOSED, "alice"), "enable.idempotence": True})
    for number in range(5000):
        producer.produce(topic, b"%d" % number)
        producer.poll(0)
    assert producer.flush(LIMIT_SECONDS) == 0
    group = {"group.id": name_of("tls"), "auto.offset.reset": "earliest"}
    consumer = confluent_kafka.Consumer({**kafka(CLOSED, "alice"), **group})
    consumer.subscribe([topic])
    read, end = [], time.monotonic() + LIMIT_SECONDS
    while len(read) < 5000 and time.monotonic() < end:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            read.append(int(message.value()))
    consumer.close()
    assert sorted(read) == list(range(5000)), len(read)


def pika_round_trip():
    for node, client in [(OPEN, None), (CLOSED, "alice")]:
        for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
            connection = amqp(node, client, version=version)
            channel = connection.channel()
            channel.confirm_delivery()
            queue = channel.queue_declare("", exclusive=True).method.queue
            body = os.urandom(300_000)
            channel.basic_publish("", queue, body)
            assert channel.basic_get(queue, auto_ack=True)[2] == body
            connection.close()


def pika_refused():
    failures = ("SSL", "StreamLost", "AMQPConnection", "IncompatibleProtocol", "ConnectionReset")
    refused(lambda: amqp(OPEN, ca="other"), *failures)
    refused(lambda: amqp(CLOSED), *failures)
    refused(lambda: amqp(CLOSED, "mallory"), *failures)


def openssl_versions():
    address = OPEN.ports["amqps"]
    client = ["s_client", "-connect", address, "-CAfile", "ca.pem", "-verify_return_error"]
    for option, version in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")]:
        code, told, _ = openssl(*client, option)
        assert code == 0 and version in told and "Verify return code: 0" in told, told
    assert openssl(*client, "-tls1_1")[0] != 0


def openssl_reload():
    def serial():
        _, told, _ = openssl("s_client", "-connect", OPEN.ports["kafka-tls"], "-CAfile", "ca.pem")
        begin = told.index("-----BEGIN")
        return told[begin:told.index("-----END", begin)]

    connection, before = amqp(OPEN), serial()
    issue("node")
    eventually(lambda: serial() != before)
    assert connection.channel().is_open
    connection.close()


def certificate_principal():
    topic = name_of("mine")

    def produced(client, to):
        told = []
        producer = confluent_kafka.Producer({**kafka(NAMED, client), "message.timeout.ms": 5000})
        producer.produce(to, b"x", on_delivery=lambda error, _: told.append(error))
        producer.flush(LIMIT_SECONDS)
        return told[0] and told[0].name()

    assert produced("alice", topic) is None
    assert produced("alice", name_of("other")) == "TOPIC_AUTHORIZATION_FAILED"
    assert produced("bob", topic) == "TOPIC_AUTHORIZATION_FAILED"
    assert produced(None, topic) == "_MSG_TIMED_OUT"
    # Records lie in the node's files as they are.
    login = b'"principal":"alice","resource":"kafka certificate","result":"success"'

    def written():
        paths = [os.path.join(directory, name) for directory, _, names in os.walk(file("named")) for name in names]
        return any(login in open(path, "rb").read() for path in paths)

    eventually(written)


def pika_external():
    external = pika.credentials.ExternalCredentials()
    connection = amqp(NAMED, "alice", credentials=external)
    channel = connection.channel()
    queue = channel.queue_declare(name_of("mine"), exclusive=True).method.queue
    channel.basic_publish("", queue, b"x", pika.BasicProperties(user_id="alice"))
    assert channel.basic_get(queue, auto_ack=True)[2] == b"x"
    connection.close()
    for client in ["bob", None]:
        refused(lambda: amqp(NAMED, client, credentials=external), "ProbableAuthentication", "Authentication", "ACCESS_REFUSED")


NAMED.add_user("root", "root-secret", "--tag", "administrator")
NAMED.weir("user", "add", "alice", "--no-password")
NAMED.weir("user", "grant", "alice", "--configure", "^mine-", "--write", ".*", "--read", "^mine-")
NAMED.weir("acl", "add", "allow", "alice", "all", "topic", "mine-", "--pattern", "prefixed")

CASES = [
    ("tls-kcat", kcat_round_trip),
    ("tls-kcat-refused", kcat_refused),
    ("tls-confluent-group", confluent_group),
    ("tls-pika", pika_round_trip),
    ("tls-pika-refused", pika_refused),
    ("tls-openssl-versions", openssl_versions),
    ("tls-new-certificate", openssl_reload),
    ("tls-certificate-principal", certificate_principal),
    ("tls-pika-external", pika_external),
]
run(confluent_kafka.__version__, CASES)
