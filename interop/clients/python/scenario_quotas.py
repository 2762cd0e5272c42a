"""The cases of interop/clients/CASES.md with quotas, on nodes of their own: Kafka's tools, confluent-kafka, and pika."""

import json
import socket
import struct
import time
import urllib.request

import confluent_kafka
import pika
from confluent_kafka import admin
from own_nodes import LIMIT_SECONDS, Node
from report import eventually, name_of, run

# What a rate allows at once, in seconds of it.
WINDOW = 10
RATE = 400_000

NODE = Node("quotas", has_tls=False)
NODE.add_user("root", "root-secret", "--tag", "administrator")
for user in ["tim", "eve"]:
    NODE.add_user(user, user + "-secret")
    NODE.weir("acl", "add", "allow", user, "all", "topic", "*")
    NODE.weir("acl", "add", "allow", user, "all", "group", "*")
    NODE.weir("user", "grant", user, "--configure", ".*", "--write", ".*", "--read", ".*")


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
    return NODE.kafka_tool("kafka.admin.ConfigCommand", *words)


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
    must("--alter", "--entity-type", "ips", "--entity-name", "10.0.0.7", "--add-config", "connection_creation_rate=5")
    assert "connection_creation_rate=5.0" in must("--describe", "--entity-type", "ips", "--entity-name", "10.0.0.7")
    must("--alter", "--entity-type", "ips", "--entity-name", "10.0.0.7", "--delete-config", "connection_creation_rate")
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


def throttled(key):
    """How often the node says that somebody had too much of this."""
    with urllib.request.urlopen("http://%s/metrics" % NODE.ports["admin"], timeout=LIMIT_SECONDS) as page:
        for line in page.read().decode().splitlines():
            if line.startswith('weir_quota_throttled_total{quota="%s"}' % key):
                return float(line.split()[-1])
    raise AssertionError("no metric of " + key)


def mutations():
    client = name_of("admin")
    NODE.weir("quota", "set", "--client", client, "controller_mutation_rate=0.5")
    mine = admin.AdminClient(login("root", client))
    topics = [admin.NewTopic(name_of("made"), 3) for _ in range(4)]
    # librdkafka's version of the request does not know the refusal: it is done, and the client is held.
    done = mine.create_topics(topics)
    for future in done.values():
        future.result(LIMIT_SECONDS)
    assert throttled("controller_mutation_rate") > 0
    began = time.monotonic()
    late = mine.create_topics([admin.NewTopic(name_of("made"), 1)])
    for future in late.values():
        future.result(LIMIT_SECONDS)
    assert time.monotonic() - began > 2, "a client that is held came through at once"
    NODE.weir("quota", "delete", "--client", client)


def requests_held():
    client = name_of("busy")
    NODE.weir("quota", "set", "--client", client, "request_percentage=1")
    mine = admin.AdminClient(login("tim", client))
    eventually(lambda: mine.list_topics(timeout=LIMIT_SECONDS) and throttled("request_percentage") > 0, LIMIT_SECONDS, 0)
    NODE.weir("quota", "delete", "--client", client)


def connections_held():
    node = Node("connections", has_tls=False)
    node.weir("quota", "set", "--ip", "127.0.0.1", "connection_creation_rate=1")
    host, port = node.ports["kafka"].rsplit(":", 1)
    request = struct.pack(">hhih", 18, 0, 7, -1)
    peers = [socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS) for _ in range(WINDOW + 2)]
    for peer in peers:
        peer.sendall(struct.pack(">i", len(request)) + request)
    began = time.monotonic()
    for peer in peers:
        assert peer.recv(4), "closed"
    took = time.monotonic() - began
    assert 1 < took < 20, took
    more = [socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS) for _ in range(2 * WINDOW)]
    for peer in more:
        peer.sendall(struct.pack(">i", len(request)) + request)

    def is_closed(peer):
        try:
            return peer.recv(4) == b""
        except ConnectionError:
            return True

    # In whichever order they come in.
    assert any([is_closed(peer) for peer in more]), "whoever would wait too long is closed"


def pika_as(user, client):
    host, port = NODE.ports["amqp"].rsplit(":", 1)
    credentials = pika.PlainCredentials(user, user + "-secret")
    named = {"connection_name": client}
    return pika.BlockingConnection(
        pika.ConnectionParameters(host, int(port), credentials=credentials, socket_timeout=10, heartbeat=4, client_properties=named)
    )


def amqp_publisher():
    client, queue = name_of("publisher"), name_of("quotas")
    NODE.weir("quota", "set", "--user", "tim", "--client", client, "producer_byte_rate=100000")
    connection = pika_as("tim", client)
    told = []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda *_: told.append(None))
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    body = b"x" * 100_000
    for _ in range(WINDOW + 5):
        channel.basic_publish("", queue, body)
    began = time.monotonic()
    eventually(lambda: connection.process_data_events(0.1) or None in told, LIMIT_SECONDS, 0)
    assert time.monotonic() - began > 1 and told == ["over its quota", None], told
    # It has waited for longer than two heartbeats, and is there.
    for _ in range(8):
        channel.basic_publish("", queue, body)
    eventually(lambda: connection.process_data_events(0.1) or told.count(None) == 2, LIMIT_SECONDS, 0)
    assert channel.queue_declare(queue, passive=True).method.message_count == WINDOW + 13
    NODE.weir("quota", "delete", "--user", "tim", "--client", client)
    connection.close()
    amqp_consumer(queue, body)


def amqp_consumer(queue, body):
    client = name_of("consumer")
    publisher = pika_as("eve", client)
    channel = publisher.channel()
    channel.confirm_delivery()
    for _ in range(80):
        channel.basic_publish("", queue, body)
    publisher.close()
    NODE.weir("quota", "set", "--user", "eve", "--client", client, "consumer_byte_rate=%d" % RATE)
    connection = pika_as("eve", client)
    channel = connection.channel()
    got = [0]

    def take(channel, method, _, taken):
        got[0] += len(taken)
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(queue, take)
    # What is allowed at once, and what a session may have on its way.
    eventually(lambda: connection.process_data_events(0.1) or got[0] >= WINDOW * RATE, LIMIT_SECONDS, 0)
    before, end = got[0], time.monotonic() + 8
    while time.monotonic() < end:
        connection.process_data_events(0.1)
    used = got[0] - before
    assert used < 2 * 8 * RATE, used
    NODE.weir("quota", "delete", "--user", "eve", "--client", client)
    eventually(lambda: connection.process_data_events(0.1) or got[0] >= 93 * len(body), LIMIT_SECONDS, 0)
    connection.close()


def vhost_held():
    client, queue = name_of("publisher"), name_of("quotas")
    NODE.weir("quota", "set", "--vhost", "/", "producer_byte_rate=50000")
    connection = pika_as("tim", client)
    told = []
    connection.add_on_connection_blocked_callback(lambda *_: told.append(1))
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    for _ in range(8):
        channel.basic_publish("", queue, b"x" * 100_000)
    eventually(lambda: connection.process_data_events(0.1) or told, LIMIT_SECONDS, 0)
    NODE.weir("quota", "delete", "--vhost", "/")
    eventually(lambda: connection.process_data_events(0.1) or not connection._impl.is_closed, LIMIT_SECONDS, 0)
    connection.close()


CASES = [
    ("kafka-configs-quotas", by_tools),
    ("kafka-configs-quotas-refused", by_tools_refused),
    ("producer-held", producer_held),
    ("consumer-held", consumer_held),
    ("mutations-held", mutations),
    ("requests-held", requests_held),
    ("connections-held", connections_held),
    ("pika-blocked", amqp_publisher),
    ("pika-vhost-blocked", vhost_held),
]
run(confluent_kafka.__version__, CASES)
