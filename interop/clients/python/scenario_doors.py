"""Messages from pika to confluent-kafka and back, by the tables of docs/mapping.md."""

import datetime
import decimal
import time

import confluent_kafka
import doors_more
import pika
from amqp_ground import Received, bodies, channel, depth, exchange, limited, put, queue, take
from doors_ground import produce, read, topic
from report import CODECS, eventually, run

ALL_BYTES = bytes(range(256))
AT_MS = 1_700_000_000_123


def amqp_bodies():
    sent = [b"", b"x", "é".encode(), ALL_BYTES, ALL_BYTES * 3000]
    with channel() as ch, queue(ch) as name:
        put(ch, name, *sent)
        assert [message.value() for message in read(name, len(sent))] == sent


def amqp_headers():
    """Every type of field that pika writes, and what Kafka's clients read of it."""
    sent = {
        "text": ("é", "é".encode()),
        "bytes": (ALL_BYTES, ALL_BYTES),
        "true": (True, b"true"),
        "false": (False, b"false"),
        "int": (-70_000, b"-70000"),
        "long": (2**40, b"%d" % 2**40),
        "smallest": (-(2**63), b"%d" % -(2**63)),
        "decimal": (decimal.Decimal("3.14"), b"3.14"),
        "time": (datetime.datetime(2023, 11, 14, 22, 13, 20), b"1700000000"),
        "list": ([1, "two", [True]], b'[1,"two",[true]]'),
        "table": ({"a": {"b": "c"}}, b'{"a":{"b":"c"}}'),
        "none": (None, None),
        "empty": ("", b""),
    }
    with channel() as ch, queue(ch) as name:
        put(ch, name, b"x", headers={key: value for key, (value, _) in sent.items()})
        headers = dict(read(name, 1)[0].headers())
        assert "weir-amqp" in headers
        for key, (_, expected) in sent.items():
            assert key in headers and headers[key] == expected, (key, headers.get(key), expected)
        # And the same queue gives AMQP what it took.
        [(_, properties, _)] = take(ch, name, 1)
        for key, (value, _) in sent.items():
            back = properties.headers[key]
            back = back.replace(tzinfo=None) if isinstance(back, datetime.datetime) else back
            assert back == value, (key, back, value)


def amqp_properties():
    named = {
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "message_id": "m",
        "correlation_id": "c",
        "reply_to": "r",
        "type": "t",
        "app_id": "a",
        "expiration": "3600000",
    }
    with channel() as ch, queue(ch) as name:
        put(ch, name, b"x", **named, priority=7, delivery_mode=2, timestamp=1_600_000_000, user_id="guest")
        headers = dict(read(name, 1)[0].headers())
        for key, value in named.items():
            assert headers[key.replace("_", "-")] == value.encode(), (key, headers)
        assert headers["priority"] == b"7"
        assert not {"delivery-mode", "timestamp", "user-id"} & headers.keys(), headers


def amqp_keys():
    with channel() as ch, queue(ch) as name:
        for key in ["a key", ALL_BYTES, None, 7]:
            put(ch, name, b"x", headers={} if key is None else {"weir-key": key})
        assert [message.key() for message in read(name, 4)] == [b"a key", ALL_BYTES, None, None]
        taken = take(ch, name, 4)
        assert [(properties.headers or {}).get("weir-key") for _, properties, _ in taken] == ["a key", ALL_BYTES, None, 7]


def amqp_timestamps():
    with channel() as ch, queue(ch) as name:
        before = time.time() * 1000
        put(ch, name, b"x", timestamp=1_600_000_000)
        kind, at = read(name, 1)[0].timestamp()
        assert before - 1000 <= at <= time.time() * 1000 + 1000, (kind, at, before)


def amqp_routing():
    with channel() as ch, exchange(ch, "topic") as ex, queue(ch) as one, queue(ch) as two:
        ch.queue_bind(one, ex, "a.#")
        ch.queue_bind(two, ex, "#.z")
        ch.confirm_delivery()
        for key in ["a.b", "a.z", "z", "b"]:
            ch.basic_publish(ex, key, key.encode())
        assert [message.value() for message in read(one, 2)] == [b"a.b", b"a.z"]
        assert [message.value() for message in read(two, 2)] == [b"a.z", b"z"]


def kafka_bodies():
    sent = [b"", b"x", "é".encode(), ALL_BYTES, ALL_BYTES * 3000, None]
    with channel() as ch, queue(ch) as name:
        produce(name, *[{"value": value} for value in sent])
        assert bodies(take(ch, name, len(sent))) == [value or b"" for value in sent]


def kafka_headers():
    with channel() as ch, queue(ch) as name:
        headers = [
            ("text", "é".encode()),
            ("bytes", b"\xff\xfe"),
            ("none", None),
            ("empty", b""),
            ("content-type", b"text/plain"),
            ("message-id", b"m"),
            ("reply-to", b"r"),
            ("priority", b"9"),
            ("expiration", b"1000"),
        ]
        produce(name, {"value": b"x", "key": b"a key", "headers": headers, "timestamp": AT_MS})
        produce(name, {"value": b"y", "key": b"\xff"})
        [(method, properties, _), (_, second, _)] = take(ch, name, 2)
        assert (method.exchange, method.routing_key, method.redelivered) == ("", name, False), method
        expected = {"text": "é", "bytes": b"\xff\xfe", "none": None, "empty": "", "expiration": "1000", "weir-key": "a key"}
        assert properties.headers == expected, properties.headers
        told = properties.content_type, properties.message_id, properties.reply_to, properties.priority
        assert told == ("text/plain", "m", "r", 9), told
        assert (properties.delivery_mode, properties.timestamp, properties.expiration) == (2, AT_MS // 1000, None)
        assert second.headers == {"weir-key": b"\xff"}, second.headers


def kafka_codecs():
    with channel() as ch, queue(ch) as name:
        for codec in CODECS:
            produce(name, *[{"value": b"%s %d" % (codec.encode(), n)} for n in range(20)], **{"compression.type": codec})
        expected = [b"%s %d" % (codec.encode(), n) for codec in CODECS for n in range(20)]
        assert bodies(take(ch, name, 100)) == expected


def kafka_topic_first():
    """A queue is laid over a topic that is there, from its start."""
    name = topic()
    produce(name, *[{"value": b"%d" % number} for number in range(50)])
    with channel() as ch, channel(-1) as far:
        ch.queue_declare(name, durable=True)
        received = Received(far, name, auto_ack=True).until(50)
        assert received.bodies() == [b"%d" % number for number in range(50)]
        produce(name, {"value": b"later"})
        assert received.until(51).bodies()[50] == b"later"
        ch.queue_delete(name)


def kafka_wakes_consumers():
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        far.basic_qos(prefetch_count=10)
        received = Received(far, name)
        for number in range(3):
            produce(name, {"value": b"%d" % number})
            received.until(number + 1)
            far.basic_ack(received[-1][0].delivery_tag)
        eventually(lambda: depth(ch, name) == 0)


CASES = [
    ("amqp-bodies", amqp_bodies),
    ("amqp-headers", amqp_headers),
    ("amqp-properties", amqp_properties),
    ("amqp-keys", amqp_keys),
    ("amqp-timestamps", amqp_timestamps),
    ("amqp-routing", amqp_routing),
    ("kafka-bodies", kafka_bodies),
    ("kafka-headers", kafka_headers),
    ("kafka-codecs", kafka_codecs),
    ("kafka-topic-first", kafka_topic_first),
    ("kafka-wakes-consumers", kafka_wakes_consumers),
    *doors_more.CASES,
]

versions = "%s/%s" % (pika.__version__, confluent_kafka.__version__)
run(versions, [(name, limited(case)) for name, case in CASES])
