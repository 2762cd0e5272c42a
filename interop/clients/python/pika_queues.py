"""Cases of queues: how they are declared, and what their arguments do."""

import time

import pika
from amqp_ground import Received, bodies, channel, connect, depth, exchange, idle, put, queue, refused, take
from report import eventually, name_of

NUMBERS = [b"%d" % number for number in range(10)]


def queue_rules():
    with channel() as ch, queue(ch, {"x-max-length": 100, "x-unknown": "x"}) as name:
        ch.queue_declare(name, durable=True, arguments={"x-max-length": 100, "x-other": 1})
        for durable, more, arguments in [
            (False, {}, {"x-max-length": 100}),
            (True, {"auto_delete": True}, {"x-max-length": 100}),
            (True, {}, {"x-max-length": 101}),
            (True, {}, None),
        ]:
            other = ch.connection.channel()
            refused(lambda: other.queue_declare(name, durable=durable, arguments=arguments, **more), 406)
        other = ch.connection.channel()
        refused(lambda: other.queue_declare(name_of("none"), passive=True), 404)
        other = ch.connection.channel()
        refused(lambda: other.queue_declare(name_of("amq.mine")), 403)
        told = ch.queue_declare(name, passive=True).method
        assert (told.queue, told.message_count, told.consumer_count) == (name, 0, 0), told


def wrong_arguments():
    for arguments in [
        {"x-message-ttl": "soon"},
        {"x-message-ttl": -1},
        {"x-expires": 0},
        {"x-max-length": -1},
        {"x-overflow": "explode"},
        {"x-max-priority": 300},
        {"x-queue-type": "magic"},
        {"x-dead-letter-exchange": 5},
        {"x-dead-letter-routing-key": "key"},
        {"x-single-active-consumer": "yes"},
    ]:
        with channel() as ch:
            refused(lambda: ch.queue_declare(name_of("wrong"), durable=True, arguments=arguments), 406)


def server_named():
    with channel() as ch:
        name = ch.queue_declare("", exclusive=True).method.queue
        assert name.startswith("amq.gen-"), name
        # An empty name stands for the one declared last, an empty key for the queue's name.
        ch.queue_bind("", "amq.direct", "")
        ch.basic_publish("amq.direct", name, b"x")
        eventually(lambda: depth(ch, name) == 1)
        assert bodies(take(ch, "", 1)) == [b"x"]
    with channel() as ch:
        refused(lambda: ch.basic_get(""), 404)


def exclusive_queue():
    with channel() as ch:
        name = name_of("only")
        ch.queue_declare(name, exclusive=True)
        put(ch, name, b"x")
        for call in [
            lambda far: far.queue_declare(name, passive=True),
            lambda far: far.queue_declare(name, exclusive=True),
            lambda far: far.queue_purge(name),
            lambda far: far.queue_delete(name),
            lambda far: far.basic_get(name),
            lambda far: Received(far, name),
            lambda far: far.queue_bind(name, "amq.direct", "k"),
        ]:
            with channel(-1) as far:
                refused(lambda: call(far), 405)
        assert bodies(take(ch, name, 1)) == [b"x"]
    with channel(-1) as far:
        def is_gone():
            try:
                far.connection.channel().queue_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                return error.reply_code == 404

        eventually(is_gone)


def auto_delete_queue():
    with channel() as ch, queue(ch, auto_delete=True) as name:
        assert depth(ch, name) == 0, "it waits for its first consumer"
        one = Received(ch, name)
        two = Received(ch, name)
        ch.basic_cancel(one.tag)
        assert depth(ch, name) == 0
        ch.basic_cancel(two.tag)
        other = ch.connection.channel()
        refused(lambda: other.queue_declare(name, passive=True), 404)


def purge_and_delete():
    with channel() as ch, queue(ch) as name:
        ch.confirm_delivery()
        put(ch, name, *NUMBERS)
        held = take(ch, name, 2, auto_ack=False)
        assert ch.queue_purge(name).method.message_count == 8
        assert depth(ch, name) == 0
        ch.basic_nack(held[0][0].delivery_tag, requeue=True)
        assert bodies(take(ch, name, 1)) == [b"0"]
        put(ch, name, b"x", b"y")
        other = ch.connection.channel()
        refused(lambda: other.queue_delete(name, if_empty=True), 406)
        Received(ch, name, auto_ack=True).until(2)
        other = ch.connection.channel()
        refused(lambda: other.queue_delete(name, if_unused=True), 406)
        put(ch, name, b"z")
        assert ch.queue_delete(name).method.message_count <= 1


def transient_queue():
    with channel() as ch:
        name = name_of("transient")
        ch.queue_declare(name)
        put(ch, name, b"x")
        with channel(-1) as far:
            assert bodies(take(far, name, 1)) == [b"x"]
        ch.queue_delete(name)


def message_ttl():
    with channel() as ch, queue(ch) as name:
        put(ch, name, b"gone", expiration="200")
        put(ch, name, b"kept", expiration="600000")
        put(ch, name, b"always")
        eventually(lambda: depth(ch, name) == 2)
        assert bodies(take(ch, name, 2)) == [b"kept", b"always"]
        put(ch, name, b"at once or never", expiration="0")
        eventually(lambda: depth(ch, name) == 0)
        received = Received(ch, name, auto_ack=True)
        put(ch, name, b"at once", expiration="0")
        received.until(1)


def queue_ttl():
    with channel() as ch, queue(ch, {"x-message-ttl": 300}) as name:
        put(ch, name, b"x", b"y")
        eventually(lambda: depth(ch, name) == 2)
        eventually(lambda: depth(ch, name) == 0)


def queue_expires():
    with channel() as ch:
        name = name_of("expiring")
        ch.queue_declare(name, durable=True, arguments={"x-expires": 700})
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            # Each look renews it.
            ch.queue_declare(name, passive=True)
            time.sleep(0.2)
        time.sleep(2.5)
        refused(lambda: ch.queue_declare(name, passive=True), 404)


def dead_letters():
    with channel() as ch, queue(ch) as grave, exchange(ch, "direct") as dead:
        ch.queue_bind(grave, dead, "late")
        ch.queue_bind(grave, dead, "other")
        arguments = {"x-dead-letter-exchange": dead, "x-dead-letter-routing-key": "late"}
        with queue(ch, {**arguments, "x-max-length": 2}) as name:
            put(ch, name, b"first", b"second", b"third", message_id="m", headers={"mine": 1})
            [(_, properties, body)] = take(ch, grave, 1)
            check_death(properties, body, b"first", name, "maxlen")
            [(second, _, _)] = take(ch, name, 1, auto_ack=False)
            ch.basic_reject(second.delivery_tag, requeue=False)
            [(method, properties, body)] = take(ch, grave, 1)
            check_death(properties, body, b"second", name, "rejected")
            assert (method.exchange, method.routing_key) == (dead, "late"), method
            ch.queue_purge(name)
            put(ch, name, b"old", expiration="100", headers={"mine": 1})
            [(_, properties, body)] = take(ch, grave, 1)
            check_death(properties, body, b"old", name, "expired")
            assert properties.expiration is None
            assert properties.headers["x-death"][0]["original-expiration"] == "100"


def check_death(properties, body, expected, name, reason):
    assert body == expected, body
    headers = properties.headers
    assert headers["mine"] == 1
    [death] = headers["x-death"]
    told = {key: death[key] for key in ["queue", "reason", "count", "exchange", "routing-keys"]}
    wanted = {"queue": name, "reason": reason, "count": 1, "exchange": "", "routing-keys": [name]}
    assert told == wanted, told
    assert abs(death["time"].timestamp() - time.time()) < 100_000, death["time"]
    for kind in ["first", "last"]:
        assert headers["x-%s-death-queue" % kind] == name
        assert headers["x-%s-death-reason" % kind] == reason
        assert headers["x-%s-death-exchange" % kind] == ""


def retries_by_dead_letters():
    with channel() as ch:
        work, wait = name_of("work"), name_of("wait")
        ch.queue_declare(work, durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
        back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 150}
        ch.queue_declare(wait, durable=True, arguments=back)
        put(ch, work, b"try me")
        for attempt in range(4):
            [(method, properties, body)] = take(ch, work, 1, auto_ack=False)
            deaths = {death["reason"]: death for death in (properties.headers or {}).get("x-death", [])}
            counts = {reason: death["count"] for reason, death in deaths.items()}
            assert counts == ({"rejected": attempt, "expired": attempt} if attempt else {}), counts
            ch.basic_nack(method.delivery_tag, requeue=False)
        ch.queue_delete(work)
        ch.queue_delete(wait)


def cycle_without_rejection():
    with channel() as ch:
        name = name_of("cycle")
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name, "x-message-ttl": 100}
        ch.queue_declare(name, durable=True, arguments=arguments)
        put(ch, name, b"round and round")
        eventually(lambda: depth(ch, name) == 0)
        idle(ch.connection, 0.5)
        assert depth(ch, name) == 0
        ch.queue_delete(name)


def max_length():
    with channel() as ch, queue(ch, {"x-max-length": 3}) as name:
        put(ch, name, *NUMBERS)
        eventually(lambda: depth(ch, name) == 3)
        assert bodies(take(ch, name, 3)) == NUMBERS[7:]
    with channel() as ch, queue(ch, {"x-max-length-bytes": 100}) as name:
        put(ch, name, *[bytes(40)] * 5)
        eventually(lambda: depth(ch, name) == 2)


def reject_publish():
    with channel() as ch, queue(ch, {"x-max-length": 2, "x-overflow": "reject-publish"}) as name:
        ch.confirm_delivery()
        put(ch, name, b"one", b"two")
        refusals = 0
        for _ in range(5):
            try:
                put(ch, name, b"more")
            except pika.exceptions.NackError:
                refusals += 1
        assert refusals == 5, refusals
        assert bodies(take(ch, name, 2)) == [b"one", b"two"]
        put(ch, name, b"room again")


def priorities():
    with channel() as ch, queue(ch, {"x-max-priority": 10}) as name:
        ch.confirm_delivery()
        for priority in [1, 9, None, 5, 9, 200]:
            put(ch, name, b"%d" % (priority or 0), priority=priority)
        assert bodies(take(ch, name, 6)) in (
            [b"9", b"9", b"200", b"5", b"1", b"0"],
            [b"200", b"9", b"9", b"5", b"1", b"0"],
        )


def single_active_consumer():
    with channel() as ch, channel() as one, channel(-1) as two, queue(ch, {"x-single-active-consumer": True}) as name:
        first = Received(one, name, auto_ack=True)
        second = Received(two, name, auto_ack=True)
        put(ch, name, *NUMBERS[:4])
        first.until(4)
        idle(two.connection)
        assert not second
        one.basic_cancel(first.tag)
        put(ch, name, b"to the next")
        second.until(1)


def quorum_queue():
    with channel() as ch, channel(-1) as far, queue(ch, {"x-queue-type": "quorum"}) as name:
        ch.confirm_delivery()
        put(ch, name, *NUMBERS)
        taken = take(far, name, 3, auto_ack=False)
        for method, _, _ in taken:
            far.basic_nack(method.delivery_tag, requeue=True)
        again = take(far, name, 10)
        assert sorted(bodies(again)) == NUMBERS
        counts = sorted((properties.headers or {}).get("x-delivery-count", 0) for _, properties, _ in again)
        assert counts in ([0] * 10, [0] * 7 + [1] * 3), counts
        for arguments, more in [({"x-max-priority": 5}, {}), ({}, {"exclusive": True})]:
            other = ch.connection.channel()
            arguments = {"x-queue-type": "quorum", **arguments}
            refused(lambda: other.queue_declare(name_of("q"), durable=True, arguments=arguments, **more), 406)
        other = ch.connection.channel()
        refused(lambda: other.queue_declare(name_of("q"), arguments={"x-queue-type": "quorum"}), 406)


def delivery_limit():
    with channel() as ch, queue(ch) as grave:
        arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": 2,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": grave,
        }
        with queue(ch, arguments) as name:
            put(ch, name, b"poison")
            seen = 0
            while depth(ch, grave) == 0:
                for method, _, _ in [ch.basic_get(name)]:
                    if method:
                        seen += 1
                        ch.basic_reject(method.delivery_tag, requeue=True)
                time.sleep(0.05)
            assert seen == 3, seen
            [(_, properties, _)] = take(ch, grave, 1)
            assert properties.headers["x-death"][0]["reason"] == "delivery_limit"


def consumer_timeout():
    with channel() as ch, queue(ch, {"x-consumer-timeout": 600_000}) as name:
        put(ch, name, b"one", b"two")
        with channel(-1) as slow:
            beside = slow.connection.channel()
            Received(slow, name, arguments={"x-consumer-timeout": 1500}).until(2)
            # It waits until it is told; RabbitMQ looks once a minute.
            error = refused(slow.start_consuming, 406)
            text = "delivery acknowledgement on channel %d timed out. Timeout value used: 1500 ms."
            assert text % slow.channel_number in error.reply_text, error.reply_text
            taken = take(beside, name, 2)
        assert [(method.redelivered, body) for method, _, body in taken] == [(True, b"one"), (True, b"two")]


def stream_queue():
    with channel() as ch, queue(ch, {"x-queue-type": "stream"}) as name:
        ch.confirm_delivery()
        put(ch, name, *NUMBERS)
        for node in [0, -1]:
            with channel(node) as reader:
                reader.basic_qos(prefetch_count=100)
                received = Received(reader, name, arguments={"x-stream-offset": "first"}).until(10)
                assert received.bodies() == NUMBERS
                offsets = [properties.headers["x-stream-offset"] for _, properties, _ in received]
                assert offsets == list(range(10)), offsets
        with channel() as reader:
            reader.basic_qos(prefetch_count=100)
            received = Received(reader, name, arguments={"x-stream-offset": 7}).until(3)
            assert received.bodies() == NUMBERS[7:]
        with channel() as reader:
            reader.basic_qos(prefetch_count=100)
            received = Received(reader, name, arguments={"x-stream-offset": "next"})
            put(ch, name, b"new")
            assert received.until(1).bodies() == [b"new"]


def durable_messages_survive_connections():
    with channel() as ch, queue(ch) as name:
        ch.confirm_delivery()
        for number in range(500):
            put(ch, name, b"%d" % number, delivery_mode=2)
        seen = []
        for node in [0, -1]:
            with connect(node) as connection:
                seen += bodies(take(connection.channel(), name, 250))
        assert seen == [b"%d" % number for number in range(500)]


CASES = [
    ("queue-rules", queue_rules),
    ("wrong-arguments", wrong_arguments),
    ("server-named", server_named),
    ("exclusive-queue", exclusive_queue),
    ("auto-delete-queue", auto_delete_queue),
    ("purge-and-delete", purge_and_delete),
    ("transient-queue", transient_queue),
    ("message-ttl", message_ttl),
    ("queue-ttl", queue_ttl),
    ("queue-expires", queue_expires),
    ("dead-letters", dead_letters),
    ("retries-by-dead-letters", retries_by_dead_letters),
    ("cycle-without-rejection", cycle_without_rejection),
    ("max-length", max_length),
    ("reject-publish", reject_publish),
    ("priorities", priorities),
    ("single-active-consumer", single_active_consumer),
    ("quorum-queue", quorum_queue),
    ("delivery-limit", delivery_limit),
    ("consumer-timeout", consumer_timeout),
    ("stream-queue", stream_queue),
    ("many-in-order", durable_messages_survive_connections),
]
