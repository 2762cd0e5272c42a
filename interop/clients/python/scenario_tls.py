"""The cases of interop/clients/CASES.md that TLS adds, on a node of their own: kcat, confluent-kafka, pika, openssl."""

import atexit
import os
import shutil
import ssl
import subprocess
import tempfile
import time

import confluent_kafka
import pika
from report import eventually, name_of, refused, run

WEIR = os.environ["WEIR"]
DIRECTORY = tempfile.mkdtemp(prefix="weir-tls-")
LIMIT_SECONDS = 60


def file(name):
    return os.path.join(DIRECTORY, name)


def openssl(*words):
    done = subprocess.run(["openssl", *words], cwd=DIRECTORY, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS)
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


def made(*words):
    code, _, error = openssl(*words)
    assert code == 0, error


def issue(name, authority="ca"):
    request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=Example/CN=" + name]
    made(*request, "-addext", "subjectAltName=DNS:localhost", "-keyout", name + ".key", "-out", name + ".csr")
    signing = ["x509", "-req", "-days", "2", "-in", name + ".csr", "-CA", authority + ".pem", "-CAkey", authority + ".key"]
    made(*signing, "-CAcreateserial", "-copy_extensions", "copy", "-out", name + ".pem")


def authority(name):
    made("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".pem")


class Node:
    """A node with TLS on every door."""

    def __init__(self, name, *options):
        free = [word for port in ["kafka-tls", "amqps", "admin-tls"] for word in ["--" + port, "localhost:0"]]
        plain = [word for port in ["kafka", "amqp", "cluster", "admin"] for word in ["--" + port, "127.0.0.1:0"]]
        shown = ["--tls-certificate-file", file("node.pem"), "--tls-key-file", file("node.key")]
        command = [WEIR, "serve", "--data-dir", file(name), *free, *plain, *shown, *options]
        with open(file(name + ".log"), "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.ports = {}
        for line in self.process.stdout:
            door, address = line.decode().split(None, 1)
            self.ports[door] = address.strip()
            if door == "node":
                break
        atexit.register(self.process.kill)


for each in ["ca", "other"]:
    authority(each)
for each in ["node", "alice"]:
    issue(each)
issue("mallory", "other")
atexit.register(shutil.rmtree, DIRECTORY, True)
OPEN = Node("open")
CLOSED = Node("closed", "--tls-client-auth", "require", "--tls-client-ca-file", file("ca.pem"))


def kafka(node, client=None, ca="ca"):
    options = {"bootstrap.servers": node.ports["kafka-tls"], "security.protocol": "ssl", "ssl.ca.location": file(ca + ".pem")}
    if client:
        options.update({"ssl.certificate.location": file(client + ".pem"), "ssl.key.location": file(client + ".key")})
    return options


def kcat(node, words, text="", **more):
    options = [word for pair in kafka(node, **more).items() for word in ["-X", "%s=%s" % pair]]
    done = subprocess.run(["kcat", *words, *options], input=text.encode(), capture_output=True, timeout=LIMIT_SECONDS)
    return done.returncode, done.stdout.decode()


def amqp(node, client=None, ca="ca", version=None):
    context = ssl.create_default_context(cafile=file(ca + ".pem"))
    if client:
        context.load_cert_chain(file(client + ".pem"), file(client + ".key"))
    if version:
        context.minimum_version = context.maximum_version = version
    host, port = node.ports["amqps"].rsplit(":", 1)
    options = pika.SSLOptions(context, "localhost")
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), ssl_options=options, socket_timeout=10))


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


CASES = [
    ("tls-kcat", kcat_round_trip),
    ("tls-kcat-refused", kcat_refused),
    ("tls-confluent-group", confluent_group),
    ("tls-pika", pika_round_trip),
    ("tls-pika-refused", pika_refused),
    ("tls-openssl-versions", openssl_versions),
    ("tls-new-certificate", openssl_reload),
]
run(confluent_kafka.__version__, CASES)
