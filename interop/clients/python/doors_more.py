"""Cases of several protocols: transactions, replay, copies, and what each sees of the other's names."""

import time

import pika
from amqp_ground import Received, bodies, channel, depth, idle, put, queue, take
from confluent_kafka import Consumer
from doors_ground import SERVERS, produce, producer, read, send, topic, topics
from report import eventually, name_of

NUMBERS = [b"%d" % number for number in range(10)]


def kafka_transactions():
    """Committed is delivered, aborted is not, and neither is what is open."""
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        received = Received(far, name, auto_ack=True)
        sender = producer(**{"transactional.id": name_of("doors")})
        sender.init_transactions(20)
        for value, is_kept in [(b"kept", True), (b"dropped", False), (b"kept too", True)]:
            sender.begin_transaction()
            send(sender, name, {"value": value}, {"value": value + b"!"})
            (sender.commit_transaction if is_kept else sender.abort_transaction)(20)
        assert received.until(4).bodies() == [b"kept", b"kept!", b"kept too", b"kept too!"]
        sender.begin_transaction()
        send(sender, name, {"value": b"open"})
        idle(far.connection)
        assert len(received) == 4, received.bodies()
        sender.commit_transaction(20)
        assert received.until(5).bodies()[4:] == [b"open"]


def kafka_transactions_order():
    """What others write behind an open transaction waits for its end, as it does for Kafka's readers."""
    with channel() as ch, queue(ch) as name:
        received = Received(ch, name, auto_ack=True)
        sender = producer(**{"transactional.id": name_of("doors")})
        sender.init_transactions(20)
        sender.begin_transaction()
        send(sender, name, {"value": b"open"})
        produce(name, {"value": b"after"})
        idle(ch.connection)
        sender.commit_transaction(20)
        assert received.until(2).bodies() == [b"open", b"after"], received.bodies()


def amqp_transactions():
    with channel() as ch, queue(ch) as name:
        ch.tx_select()
        put(ch, name, b"dropped")
        ch.tx_rollback()
        put(ch, name, b"one", b"two")
        ch.tx_commit()
        put(ch, name, b"not yet")
        assert [message.value() for message in read(name, 2)] == [b"one", b"two"]
        ch.tx_commit()
        assert read(name, 3)[2].value() == b"not yet"


def replay():
    """What AMQP has acknowledged, Kafka reads again, as often as it likes, where the queue keeps it."""
    with channel() as ch, queue(ch, {"x-weir-replay-ms": 600_000}) as name:
        put(ch, name, *NUMBERS)
        received = Received(ch, name).until(10)
        ch.basic_ack(received[-1][0].delivery_tag, multiple=True)
        eventually(lambda: depth(ch, name) == 0)
        for _ in range(2):
            assert [message.value() for message in read(name, 10)] == NUMBERS
        assert [message.value() for message in read(name, 3, offset=7)] == NUMBERS[7:]


def replay_of_topic():
    """A queue over a topic that was there before takes nothing from it."""
    name = topic()
    produce(name, *[{"value": value} for value in NUMBERS])
    with channel() as ch:
        ch.queue_declare(name, durable=True)
        Received(ch, name, auto_ack=True).until(10)
        eventually(lambda: depth(ch, name) == 0)
        for _ in range(2):
            assert [message.value() for message in read(name, 10)] == NUMBERS


def groups_and_queues():
    """A consumer group and a queue's consumers each get everything."""
    with channel() as ch, queue(ch) as name:
        put(ch, name, *NUMBERS)
        settings = {"group.id": name_of("doors"), "auto.offset.reset": "earliest", "enable.auto.commit": False}
        member = Consumer({**SERVERS, **settings})
        member.subscribe([name])
        messages = []
        end = time.monotonic() + 30
        while len(messages) < 10:
            assert time.monotonic() < end, messages
            message = member.poll(0.2)
            if message is not None and not message.error():
                messages.append(message.value())
        member.commit(asynchronous=False)
        member.close()
        assert messages == NUMBERS
        assert bodies(take(ch, name, 10)) == NUMBERS


def copy_by_kafka():
    """A record that a Kafka client copies with its headers is the same message to AMQP."""
    sent = pika.BasicProperties(
        content_type="a/b", delivery_mode=1, priority=3, timestamp=1_600_000_000, headers={"n": 1, "t": {"x": [None]}}
    )
    with channel() as ch, queue(ch) as one, queue(ch) as two:
        ch.queue_bind(one, "amq.topic", one + ".#")
        ch.basic_publish("amq.topic", one + ".key", b"x", sent)
        [record] = read(one, 1)
        produce(two, {"value": record.value(), "key": record.key(), "headers": record.headers()})
        [(method, properties, body)] = take(ch, two, 1)
        assert (body, properties) == (b"x", sent), properties
        assert (method.exchange, method.routing_key) == ("amq.topic", one + ".key"), method


def thousands_in_order():
    with channel() as ch, channel(-1) as far, queue(ch) as there, queue(ch) as back:
        expected = [b"%d" % number for number in range(2000)]
        put(ch, there, *expected)
        assert [message.value() for message in read(there, 2000)] == expected
        produce(back, *[{"value": value} for value in expected])
        received = Received(far, back, auto_ack=True).until(2000, seconds=30)
        assert received.bodies() == expected


def mixed_writers():
    """Both write into one queue; both read all of it, in one order."""
    with channel() as ch, queue(ch) as name:
        ch.confirm_delivery()
        for number in range(20):
            put(ch, name, b"amqp %d" % number)
            produce(name, {"value": b"kafka %d" % number})
        values = [message.value() for message in read(name, 40)]
        assert values == [b"%s %d" % (who, number) for number in range(20) for who in [b"amqp", b"kafka"]]
        assert bodies(take(ch, name, 40)) == values


def names():
    """Queues that only AMQP may use are no topics."""
    with channel() as ch, queue(ch) as shared:
        own = ch.queue_declare("", exclusive=True).method.queue
        only = name_of("only")
        ch.queue_declare(only, exclusive=True)
        found = topics()
        assert shared in found
        assert own not in found and only not in found, sorted(found)
        assert not [name for name in found if own in name or only in name], sorted(found)


def stream_offsets():
    """A stream's offsets are those of Kafka."""
    with channel() as ch, queue(ch, {"x-queue-type": "stream"}) as name:
        put(ch, name, *NUMBERS)
        offsets = {message.value(): message.offset() for message in read(name, 10)}
        ch.basic_qos(prefetch_count=100)
        received = Received(ch, name, arguments={"x-stream-offset": offsets[b"6"]}).until(4)
        assert received.bodies() == NUMBERS[6:]
        for _, properties, body in received:
            assert properties.headers["x-stream-offset"] == offsets[body], properties.headers


def delays():
    with channel() as ch, queue(ch) as name:
        at = int(time.time() * 1000) + 1500
        produce(name, {"value": b"late", "headers": [("weir-deliver-at", b"%d" % at)]}, {"value": b"now"})
        assert bodies(take(ch, name, 1)) == [b"now"]
        assert bodies(take(ch, name, 1)) == [b"late"]
        assert time.time() * 1000 >= at


CASES = [
    ("kafka-transactions", kafka_transactions),
    ("kafka-transactions-order", kafka_transactions_order),
    ("amqp-transactions", amqp_transactions),
    ("replay", replay),
    ("replay-of-topic", replay_of_topic),
    ("groups-and-queues", groups_and_queues),
    ("copy-by-kafka", copy_by_kafka),
    ("thousands-in-order", thousands_in_order),
    ("mixed-writers", mixed_writers),
    ("names", names),
    ("stream-offsets", stream_offsets),
    ("delays", delays),
]
