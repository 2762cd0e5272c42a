"""Cases of publishing, delivery and settlement."""

import datetime
import decimal

import pika
from amqp_ground import Received, bodies, channel, connect, depth, exchange, idle, put, queue, refused, take
from report import Skip, eventually, name_of

NUMBERS = [b"%d" % number for number in range(10)]


def publish_and_get():
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        put(ch, name, b"one", b"two")
        [(first, _, _)] = take(far, name, 1)
        assert (first.exchange, first.routing_key, first.redelivered) == ("", name, False), first
        assert bodies(take(far, name, 1)) == [b"two"]
        assert far.basic_get(name) == (None, None, None)


def properties():
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        delivery_mode=2,
        priority=7,
        correlation_id="c" * 255,
        reply_to="somewhere",
        expiration="3600000",
        message_id="m-1",
        timestamp=1_700_000_000,
        type="kind",
        user_id="guest",
        app_id="app",
        cluster_id="unused",
    )
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        ch.basic_publish("", name, b"x", sent)
        [(_, got, _)] = take(far, name, 1)
        assert got == sent, got


def header_types():
    sent = {
        "text": "é",
        "bytes": b"\xff\x00",
        "true": True,
        "false": False,
        "small": -5,
        "int": 70_000,
        "long": -(2**40),
        "largest": 2**63 - 1,
        "none": None,
        "decimal": decimal.Decimal("3.14"),
        "time": datetime.datetime(2024, 2, 29, 12, 0, 1),
        "list": [1, "two", [None], {"deep": 2}],
        "table": {"a": {"b": {"c": "d"}}},
        "empty": "",
    }
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        ch.basic_publish("", name, b"x", pika.BasicProperties(headers=sent))
        [(_, got, _)] = take(far, name, 1)
        assert got.headers.keys() == sent.keys()
        for key, value in sent.items():
            back = got.headers[key]
            if isinstance(back, datetime.datetime):
                back = back.replace(tzinfo=None)
            assert back == value, (key, value, back)


def bodies_of_all_sizes():
    sizes = [0, 1, 131_063, 131_064, 131_065, 262_144, 1_000_000, 8_000_000]
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        for size in sizes:
            body = (bytes(range(251)) * (size // 251 + 1))[:size]
            put(ch, name, body)
            assert bodies(take(far, name, 1)) == [body], size


def too_large():
    with channel() as ch, queue(ch) as name:
        def publish():
            put(ch, name, bytes(17 * 1024 * 1024))
            depth(ch, name)

        refused(publish, 406, 311)


def confirms():
    with channel() as ch, queue(ch) as name:
        ch.confirm_delivery()
        for number in range(200):
            ch.basic_publish("", name, b"%d" % number)
        assert depth(ch, name) == 200


def unroutable():
    with channel() as ch:
        ch.confirm_delivery()
        ch.basic_publish("amq.direct", name_of("nobody"), b"dropped")
        try:
            ch.basic_publish("amq.direct", name_of("nobody"), b"back", mandatory=True)
        except pika.exceptions.UnroutableError as error:
            [returned] = error.messages
            assert (returned.method.reply_code, returned.body) == (312, b"back"), returned
        else:
            raise AssertionError("it did not come back")


def returns_without_confirms():
    with channel() as ch:
        returned = []
        ch.add_on_return_callback(lambda _, method, __, body: returned.append((method.reply_code, body)))
        ch.basic_publish("amq.fanout", "", b"kept" * 50_000, mandatory=True)
        eventually(lambda: ch.connection.process_data_events(0.1) or returned)
        assert returned == [(312, b"kept" * 50_000)]


def publish_errors():
    def publish_to(exchange, **more):
        with channel() as ch:
            ch.basic_publish(exchange, "k", b"x", pika.BasicProperties(**more))
            ch.queue_declare("", exclusive=True)

    refused(lambda: publish_to(name_of("none")), 404)
    refused(lambda: publish_to("", user_id="somebody"), 406)
    refused(lambda: publish_to("", expiration="soon"), 406)


def immediate():
    connection = connect()
    ch = connection.channel()
    ch._impl._send_method(pika.spec.Basic.Publish(exchange="", routing_key="x", immediate=True), (pika.BasicProperties(), b"x"))
    refused(lambda: idle(connection, 5), 540)


def acknowledgement():
    with channel() as ch, queue(ch) as name:
        put(ch, name, *NUMBERS)
        taken = take(ch, name, 10, auto_ack=False)
        ch.basic_ack(taken[3][0].delivery_tag, multiple=True)
        ch.basic_ack(taken[9][0].delivery_tag)
        ch.basic_reject(taken[4][0].delivery_tag, requeue=True)
        ch.basic_reject(taken[5][0].delivery_tag, requeue=False)
        ch.basic_nack(taken[8][0].delivery_tag, multiple=True, requeue=True)
        back = take(ch, name, 4, auto_ack=False)
        assert bodies(back) == [b"4", b"6", b"7", b"8"], bodies(back)
        assert all(method.redelivered for method, _, _ in back)
        ch.basic_ack(0, multiple=True)
        assert depth(ch, name) == 0
    with channel(-1) as ch:
        assert ch.connection.is_open


def requeue_keeps_order():
    with channel() as ch, queue(ch) as name:
        put(ch, name, *NUMBERS)
        taken = take(ch, name, 5, auto_ack=False)
        for place in [2, 0, 4, 1, 3]:
            ch.basic_nack(taken[place][0].delivery_tag, requeue=True)
        assert bodies(take(ch, name, 10)) == NUMBERS


def unknown_delivery_tag():
    for settle in [
        lambda ch, tag: ch.basic_ack(tag),
        lambda ch, tag: ch.basic_nack(tag),
        lambda ch, tag: ch.basic_reject(tag),
    ]:
        with channel() as ch, queue(ch) as name:
            put(ch, name, b"x")
            tag = take(ch, name, 1, auto_ack=False)[0][0].delivery_tag
            ch.basic_ack(tag)

            def again():
                settle(ch, tag)
                depth(ch, name)

            refused(again, 406)


def closing_requeues():
    with channel() as ch, queue(ch) as name:
        put(ch, name, *NUMBERS)
        other = ch.connection.channel()
        received = Received(other, name).until(10)
        other.basic_ack(received[1][0].delivery_tag, multiple=True)
        other.close()
        again = take(ch, name, 8)
        assert bodies(again) == NUMBERS[2:]
        assert all(method.redelivered for method, _, _ in again)


def prefetch():
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        far.basic_qos(prefetch_count=3)
        received = Received(far, name)
        put(ch, name, *NUMBERS)
        received.until(3)
        idle(far.connection)
        assert len(received) == 3
        far.basic_ack(received[1][0].delivery_tag, multiple=True)
        received.until(5)
        idle(far.connection)
        assert received.bodies() == NUMBERS[:5]
        [(_, _, body)] = take(far, name, 1)
        assert body == NUMBERS[5], "basic.get is exempt"


def prefetch_of_channel():
    with channel() as ch, queue(ch) as one, queue(ch) as two:
        ch.basic_qos(prefetch_count=4, global_qos=True)
        received = [Received(ch, one), Received(ch, two)]
        put(ch, one, *NUMBERS)
        put(ch, two, *NUMBERS)
        eventually(lambda: ch.connection.process_data_events(0.1) or sum(map(len, received)) >= 4)
        idle(ch.connection)
        assert sum(map(len, received)) == 4, received


def prefetch_size():
    with channel() as ch:
        refused(lambda: ch.basic_qos(prefetch_size=1000), 540)


def fair_dispatch():
    with channel() as ch, channel() as one, channel(-1) as two, queue(ch) as name:
        for consumer in [one, two]:
            consumer.basic_qos(prefetch_count=5)
        first, second = Received(one, name), Received(two, name)
        put(ch, name, *NUMBERS)
        first.until(5)
        second.until(5)
        assert sorted(first.bodies() + second.bodies()) == NUMBERS


def cancel_keeps_deliveries():
    with channel() as ch, queue(ch) as name:
        put(ch, name, b"held")
        received = Received(ch, name).until(1)
        # pika's blocking channel gives back what nobody has seen; this one was seen.
        assert ch.basic_cancel(received.tag) == []
        assert depth(ch, name) == 0, "a cancelled consumer keeps what it holds"
        ch.basic_ack(received[0][0].delivery_tag)
        put(ch, name, b"next")
        assert bodies(take(ch, name, 1)) == [b"next"]


def cancel_notification():
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        cancelled = []
        far.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        received = Received(far, name)
        ch.queue_delete(name)
        eventually(lambda: far.connection.process_data_events(0.1) or cancelled)
        assert cancelled == [received.tag]


def consumer_tags():
    with channel() as ch, queue(ch) as name:
        Received(ch, name, consumer_tag="mine")
        other = ch.connection.channel()
        Received(other, name, consumer_tag="mine")
        frame = pika.spec.Basic.Consume(queue=name, consumer_tag="mine")
        ch._impl._send_method(frame)
        refused(lambda: idle(ch.connection, 5), 530)


def consumer_priority():
    with channel() as ch, channel() as low, channel(-1) as high, queue(ch) as name:
        for consumer in [low, high]:
            consumer.basic_qos(prefetch_count=3)
        lesser = Received(low, name, arguments={"x-priority": -1})
        greater = Received(high, name, arguments={"x-priority": 10})
        put(ch, name, *NUMBERS[:5])
        greater.until(3)
        lesser.until(2)
        assert greater.bodies() == NUMBERS[:3]
        assert lesser.bodies() == NUMBERS[3:5]


def exclusive_consumer():
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        Received(ch, name, exclusive=True)
        refused(lambda: Received(far, name), 403)
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        Received(ch, name)
        refused(lambda: Received(far, name, exclusive=True), 403)


def recover():
    with channel() as ch, queue(ch) as name:
        put(ch, name, *NUMBERS)
        assert len(take(ch, name, 5, auto_ack=False)) == 5
        ch.basic_recover(requeue=True)
        again = take(ch, name, 10)
        assert bodies(again) == NUMBERS
        assert [method.redelivered for method, _, _ in again] == [True] * 5 + [False] * 5
        refused(lambda: ch.basic_recover(requeue=False), 540)


def transactions():
    with channel() as ch, channel(-1) as far, queue(ch) as name:
        ch.tx_select()
        put(ch, name, b"rolled back")
        ch.tx_rollback()
        put(ch, name, b"one", b"two")
        assert depth(far, name) == 0
        ch.tx_commit()
        assert depth(far, name) == 2
        tag = take(ch, name, 1, auto_ack=False)[0][0].delivery_tag
        ch.basic_ack(tag)
        ch.tx_rollback()
        ch.basic_ack(tag)
        ch.tx_commit()
        assert bodies(take(far, name, 1)) == [b"two"]
    with channel() as ch:
        refused(ch.tx_commit, 406)
    with channel() as ch:
        ch.tx_select()
        refused(lambda: ch.confirm_delivery(), 406)


def direct_reply_to():
    pseudo = "amq.rabbitmq.reply-to"
    with channel() as client, channel(-1) as server, queue(client) as name:
        received = Received(client, pseudo, auto_ack=True)
        put(client, name, b"question", reply_to=pseudo)
        [(_, properties, _)] = take(server, name, 1)
        assert properties.reply_to.startswith(pseudo + "."), properties.reply_to
        put(server, properties.reply_to, b"answer", correlation_id="7")
        received.until(1)
        assert received.bodies() == [b"answer"] and received[0][1].correlation_id == "7"
    with channel() as ch:
        refused(lambda: Received(ch, pseudo), 406)
    with channel() as ch, queue(ch) as name:
        def publish():
            put(ch, name, b"x", reply_to=pseudo)
            depth(ch, name)

        refused(publish, 406)


def delayed():
    with channel() as ch, queue(ch) as name:
        try:
            ex = exchange(ch, "x-delayed-message", arguments={"x-delayed-type": "direct"})
            with ex as delaying:
                ch.queue_bind(name, delaying, "k")
                for delay in [1500, 500]:
                    headers = pika.BasicProperties(headers={"x-delay": delay})
                    ch.basic_publish(delaying, "k", b"%d" % delay, headers)
                assert depth(ch, name) == 0
                assert bodies(take(ch, name, 2)) == [b"500", b"1500"]
        except pika.exceptions.ChannelClosedByBroker as error:
            raise Skip(error.reply_text)


CASES = [
    ("publish-and-get", publish_and_get),
    ("properties", properties),
    ("header-types", header_types),
    ("bodies-of-all-sizes", bodies_of_all_sizes),
    ("too-large", too_large),
    ("confirms", confirms),
    ("unroutable", unroutable),
    ("returns-without-confirms", returns_without_confirms),
    ("publish-errors", publish_errors),
    ("immediate", immediate),
    ("acknowledgement", acknowledgement),
    ("requeue-keeps-order", requeue_keeps_order),
    ("unknown-delivery-tag", unknown_delivery_tag),
    ("closing-requeues", closing_requeues),
    ("prefetch", prefetch),
    ("prefetch-of-channel", prefetch_of_channel),
    ("prefetch-size", prefetch_size),
    ("fair-dispatch", fair_dispatch),
    ("cancel-keeps-deliveries", cancel_keeps_deliveries),
    ("cancel-notification", cancel_notification),
    ("consumer-tags", consumer_tags),
    ("consumer-priority", consumer_priority),
    ("exclusive-consumer", exclusive_consumer),
    ("recover", recover),
    ("transactions", transactions),
    ("direct-reply-to", direct_reply_to),
    ("delayed", delayed),
]
