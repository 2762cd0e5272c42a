"""The cases of interop/clients/CASES.md with quotas, on nodes of their own: Kafka's tools, confluent-kafka, and pika."""

import json
import os
import subprocess
import time

import confluent_kafka
from confluent_kafka import admin
from own_nodes import DIRECTORY, LIMIT_SECONDS, Node, file
from report import Skip, eventually, name_of, run

# What a rate allows at once, in seconds of it.
WINDOW = 10
RATE = 400_000

NODE = Node("quotas", has_tls=False)
NODE.add_user("root", "root-secret", "--tag", "administrator")
for user in ["tim", "eve"]:
    NODE.add_user(user, user + "-secret")
    NODE.weir("acl", "add", "allow", user, "all", "topic", "*")
    NODE.weir("acl", "add", "allow", user, "all", "group", "*")


def login(user, client="quotas"):
    return {
        "bootstrap.servers": NODE.ports["kafka"],
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": user,
        "sasl.password": user + "-secret",
        "client.id": client,
    }


ROOT = admin.AdminClient(login("root"))


def topic_of(text):
    topic = name_of(text)
    ROOT.create_topics([admin.NewTopic(topic, 1)])[topic].result(LIMIT_SECONDS)
    return topic


def tool(*words):
    """kafka-configs, as the administrator."""
    path = os.environ.get("KAFKA_CLASS_PATH")
    if not path:
        raise Skip("Kafka's tools are not there")
    with open(file("root.properties"), "w") as properties:
        properties.write("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config=")
        properties.write("org.apache.kafka.common.security.scram.ScramLoginModule required")
        properties.write(' username="root" password="root-secret";\n')
    where = ["--bootstrap-server", NODE.ports["kafka"], "--command-config", file("root.properties")]
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", quiet, "-cp", path, "kafka.admin.ConfigCommand", *where, *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS, cwd=DIRECTORY)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def must(*words):
    code, told = tool(*words)
    assert code == 0, told
    return told


def listed(*words):
    return json.loads(NODE.weir("quota", "list", *words, "--json"))


def by_tools():
    client = name_of("client")
    user = ["--entity-type", "users", "--entity-name", "eve"]
    both = [*user, "--entity-type", "clients", "--entity-name", client]
    must("--alter", *both, "--add-config", "producer_byte_rate=1024,consumer_byte_rate=2048")
    told = must("--describe", *both)
    assert "producer_byte_rate=1024.0" in told and "consumer_byte_rate=2048.0" in told, told
    must("--alter", *user, "--add-config", "consumer_byte_rate=1000000000")
    assert "consumer_byte_rate=1.0E9" in must("--describe", *user)
    must("--alter", "--entity-type", "clients", "--entity-default", "--add-config", "producer_byte_rate=1000000000")
    assert "producer_byte_rate=1.0E9" in must("--describe", "--entity-type", "clients", "--entity-default")
    entities = [row["entity"] for row in listed()]
    for entity in [{"user": "eve", "client-id": client}, {"user": "eve"}, {"client-id": None}]:
        assert entity in entities, entities
    must("--alter", *both, "--delete-config", "producer_byte_rate")
    assert listed("--user", "eve", "--client", client)[0]["values"] == {"consumer_byte_rate": 2048.0}
    for entity in [["--user", "eve", "--client", client], ["--user", "eve"], ["--client", "<default>"]]:
        NODE.weir("quota", "delete", *entity)
    assert listed() == []


def by_tools_refused():
    for words in ["producer_byte_rate=0", "producer_byte_rate=-1", "no_such_rate=1"]:
        code, told = tool("--alter", "--entity-type", "users", "--entity-name", "eve", "--add-config", words)
        assert code != 0, told
    assert listed("--user", "eve") == []


class Flood:
    """Produces as fast as it may; counts what was acknowledged."""

    def __init__(self, topic, user, client):
        self.acked = 0
        self.throttled = []
        self.topic = topic
        more = {"linger.ms": 5, "batch.size": 40000, "queue.buffering.max.messages": 200, "throttle_cb": self.throttled.append}
        self.producer = confluent_kafka.Producer({**login(user, client), **more})

    def told(self, error, message):
        assert error is None, error
        self.acked += len(message.value())

    def run(self, seconds):
        """Bytes that were acknowledged in this time."""
        before, end = self.acked, time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.producer.produce(self.topic, b"x" * 10_000, on_delivery=self.told)
                self.producer.poll(0)
            except BufferError:
                self.producer.poll(0.02)
        return self.acked - before


def producer_held():
    client = name_of("producer")
    NODE.weir("quota", "set", "--user", "tim", "producer_byte_rate=%d" % RATE)
    flood = Flood(topic_of("quotas"), "tim", client)
    eventually(lambda: flood.run(0.5) and flood.acked > WINDOW * RATE, LIMIT_SECONDS, 0)
    used = flood.run(6)
    assert 0.3 * 6 * RATE < used < 2 * 6 * RATE, used
    eventually(lambda: flood.run(0.2) is not None and flood.throttled, 10, 0)
    assert flood.throttled[0].throttle_time > 0
    # Another user is not held meanwhile, and this one no more once there is no quota.
    other = Flood(topic_of("quotas"), "eve", client)
    eventually(lambda: other.run(0.5) and other.acked > (WINDOW + 5) * RATE, LIMIT_SECONDS, 0)
    assert other.throttled == []
    NODE.weir("quota", "delete", "--user", "tim")
    flood.run(3)
    free = eventually(lambda: flood.run(3) > 2 * 3 * RATE, LIMIT_SECONDS, 0)
    assert free
    flood.producer.purge()


def consumer_held():
    topic, client = topic_of("quotas"), name_of("consumer")
    flood = Flood(topic, "eve", client)
    eventually(lambda: flood.run(0.5) and flood.acked > 4 * WINDOW * RATE, LIMIT_SECONDS, 0)
    flood.producer.purge()
    NODE.weir("quota", "set", "--client", client, "consumer_byte_rate=%d" % RATE)
    rebalanced = []
    settings = {"group.id": name_of("group"), "auto.offset.reset": "earliest", "fetch.message.max.bytes": 200_000}
    consumer = confluent_kafka.Consumer({**login("tim", client), **settings, "session.timeout.ms": 6000})
    consumer.subscribe([topic], on_assign=lambda *_: rebalanced.append(1))
    got = [0]

    def read(seconds):
        before, end = got[0], time.monotonic() + seconds
        while time.monotonic() < end:
            for message in consumer.consume(100, 0.05):
                assert message.error() is None, message.error()
                got[0] += len(message.value())
        return got[0] - before

    eventually(lambda: read(0.5) is not None and got[0] > WINDOW * RATE, LIMIT_SECONDS, 0)
    used = read(8)
    assert 0.3 * 8 * RATE < used < 2 * 8 * RATE, used
    assert rebalanced == [1], rebalanced
    NODE.weir("quota", "delete", "--client", client)
    eventually(lambda: read(0.5) is not None and got[0] > 3 * WINDOW * RATE, LIMIT_SECONDS, 0)
    consumer.close()


CASES = [
    ("kafka-configs-quotas", by_tools),
    ("kafka-configs-quotas-refused", by_tools_refused),
    ("producer-held", producer_held),
    ("consumer-held", consumer_held),
]
run(confluent_kafka.__version__, CASES)
