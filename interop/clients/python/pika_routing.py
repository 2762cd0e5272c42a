"""Cases of exchanges and bindings."""

import contextlib

import pika
from amqp_ground import bodies, channel, depth, exchange, put, queue, refused, take
from report import Skip, eventually, name_of


@contextlib.contextmanager
def optional(ch, kind):
    """An exchange of a kind that not every broker has."""
    try:
        made = exchange(ch, kind)
        name = made.__enter__()
    except pika.exceptions.ChannelClosedByBroker as error:
        raise Skip(error.reply_text) from error
    try:
        yield name
    finally:
        made.__exit__(None, None, None)


def routes(kind, bindings, messages):
    """What of `messages` gets to a queue with `bindings`."""
    with channel() as ch, exchange(ch, kind) as ex, queue(ch) as name:
        for key, arguments in bindings:
            ch.queue_bind(name, ex, key, arguments)
        ch.confirm_delivery()
        for number, (key, headers) in enumerate(messages):
            properties = pika.BasicProperties(headers=headers)
            ch.basic_publish(ex, key, b"%d" % number, properties)
        return [int(body) for body in bodies(take(ch, name, depth(ch, name)))]


def direct():
    keys = [(key, None) for key in ["a", "b", "", "ab", "a"]]
    assert routes("direct", [("a", None), ("", None)], keys) == [0, 2, 4]


def fanout():
    assert routes("fanout", [("ignored", None)], [("x", None), ("", None)]) == [0, 1]


def topic():
    keys = ["a.b.c", "a.c", "b", "", "a", "a.x.y.c", "x.a.c", "a..c"]
    messages = [(key, None) for key in keys]
    assert routes("topic", [("a.*.c", None)], messages) == [0, 7]
    assert routes("topic", [("a.#", None)], messages) == [0, 1, 4, 5, 7]
    assert routes("topic", [("#.c", None), ("a.#", None)], messages) == [0, 1, 4, 5, 6, 7]
    assert routes("topic", [("#", None)], messages) == list(range(len(keys)))
    assert routes("topic", [("*", None)], messages) == [2, 3, 4] or routes("topic", [("*", None)], messages) == [2, 4]


def headers():
    messages = [("", h) for h in [{"a": 1, "b": "x"}, {"a": 1}, {"b": "x", "x-c": 1}, None, {"a": "1"}]]
    both = {"x-match": "all", "a": 1, "b": "x"}
    assert routes("headers", [("", both)], messages) == [0]
    assert routes("headers", [("", {**both, "x-match": "any"})], messages) == [0, 1, 2]
    assert routes("headers", [("", {"x-match": "any-with-x", "x-c": 1})], messages) == [2]
    assert routes("headers", [("", {"a": None})], messages) == [0, 1, 4]


def exchange_to_exchange():
    with channel() as ch, exchange(ch, "topic") as first, exchange(ch, "fanout") as second, queue(ch) as name:
        ch.exchange_bind(second, first, "a.#")
        ch.exchange_bind(first, second, "a.#")
        ch.queue_bind(name, second)
        ch.queue_bind(name, first, "a.*")
        ch.confirm_delivery()
        ch.basic_publish(first, "a.b", b"once")
        ch.basic_publish(first, "b", b"not")
        assert bodies(take(ch, name, 1)) == [b"once"] and depth(ch, name) == 0
        ch.exchange_unbind(second, first, "a.#")
        ch.queue_unbind(name, first, "a.*")
        ch.basic_publish(first, "a.b", b"not")
        assert depth(ch, name) == 0


def alternate_exchange():
    with channel() as ch, exchange(ch, "fanout") as other, queue(ch) as name:
        ch.queue_bind(name, other)
        with exchange(ch, "direct", arguments={"alternate-exchange": other}) as first:
            ch.confirm_delivery()
            ch.basic_publish(first, "nobody", b"caught", mandatory=True)
            assert bodies(take(ch, name, 1)) == [b"caught"]


def default_exchange():
    with channel() as ch, queue(ch) as name:
        put(ch, name, b"by name")
        assert bodies(take(ch, name, 1)) == [b"by name"]
        refused(lambda: ch.queue_bind(name, "", "key"), 403)
    with channel() as ch:
        refused(lambda: ch.exchange_delete(""), 403)
    with channel() as ch:
        refused(lambda: ch.exchange_declare("", "direct"), 403)


def exchange_rules():
    with channel() as ch, exchange(ch, "direct", durable=True) as name:
        ch.exchange_declare(name, "direct", durable=True)
        ch.exchange_declare(name, passive=True)
        for kind, more in [("fanout", {"durable": True}), ("direct", {}), ("direct", {"durable": True, "internal": True})]:
            other = ch.connection.channel()
            refused(lambda: other.exchange_declare(name, kind, **more), 406)
        other = ch.connection.channel()
        refused(lambda: other.exchange_declare(name_of("amq.mine"), "direct"), 403)
        other = ch.connection.channel()
        refused(lambda: other.exchange_declare(name_of("none"), passive=True), 404)
        ch.exchange_declare("amq.direct", "direct", durable=True)


def unknown_exchange_type():
    with channel() as ch:
        refused(lambda: ch.exchange_declare(name_of("odd"), "x-unheard-of"), 406)


def predeclared_exchanges():
    with channel() as ch, queue(ch) as name:
        for known, key in [("amq.direct", name), ("amq.fanout", ""), ("amq.topic", name), ("amq.headers", ""), ("amq.match", "")]:
            ch.queue_bind(name, known, key, {"x-match": "all", "for": name} if known in ("amq.headers", "amq.match") else None)
            ch.basic_publish(known, key, known.encode(), pika.BasicProperties(headers={"for": name}))
            assert bodies(take(ch, name, 1)) == [known.encode()]
        ch.queue_unbind(name, "amq.fanout", "")
    with channel() as ch:
        refused(lambda: ch.exchange_delete("amq.topic"), 403)


def deleting():
    with channel() as ch, queue(ch) as name:
        with exchange(ch, "direct") as ex:
            ch.queue_bind(name, ex, "k")
            other = ch.connection.channel()
            refused(lambda: other.exchange_delete(ex, if_unused=True), 406)
            ch.exchange_delete(ex)
            ch.exchange_delete(ex)
        ch.queue_unbind(name, ex, "k")
        ch.queue_delete(name)
        ch.queue_delete(name)


def auto_delete_exchange():
    with channel() as ch, queue(ch) as name:
        with exchange(ch, "direct", auto_delete=True) as ex:
            ch.queue_bind(name, ex, "k")
            ch.queue_unbind(name, ex, "k")
            other = ch.connection.channel()
            refused(lambda: other.exchange_declare(ex, passive=True), 404)


def internal_exchange():
    with channel() as ch, exchange(ch, "fanout", internal=True) as ex:
        def publish():
            ch.basic_publish(ex, "", b"x")
            ch.queue_declare("", exclusive=True)

        refused(publish, 403)


def binding_unknown():
    with channel() as ch:
        refused(lambda: ch.queue_bind(name_of("none"), "amq.direct", "k"), 404)
    with channel() as ch, queue(ch) as name:
        refused(lambda: ch.queue_bind(name, name_of("none"), "k"), 404)


def consistent_hash():
    with channel() as ch, optional(ch, "x-consistent-hash") as ex, queue(ch) as one, queue(ch) as two:
        ch.queue_bind(one, ex, "10")
        ch.queue_bind(two, ex, "10")
        ch.confirm_delivery()
        for number in range(200):
            ch.basic_publish(ex, "key %d" % (number % 50), b"%d" % number)
        counts = depth(ch, one), depth(ch, two)
        assert sum(counts) == 200 and min(counts) >= 20 and counts[0] % 4 == 0, counts


def random_exchange():
    with channel() as ch, optional(ch, "x-random") as ex, queue(ch) as one, queue(ch) as two:
        ch.queue_bind(one, ex, "")
        ch.queue_bind(two, ex, "")
        ch.confirm_delivery()
        for number in range(100):
            ch.basic_publish(ex, "", b"x")
        counts = depth(ch, one), depth(ch, two)
        assert sum(counts) == 100 and min(counts) >= 10, counts


def cc_and_bcc():
    with channel() as ch, queue(ch) as one, queue(ch) as two, queue(ch) as three:
        ch.confirm_delivery()
        copies = {"CC": [two, one], "BCC": [three]}
        ch.basic_publish("", one, b"x", pika.BasicProperties(headers=copies))
        for name in [one, two, three]:
            [(_, properties, _)] = take(ch, name, 1)
            assert properties.headers == {"CC": [two, one]}, properties.headers
            assert depth(ch, name) == 0
        wrong = pika.BasicProperties(headers={"CC": one})
        refused(lambda: ch.basic_publish("", one, b"x", wrong), 406)


def many_bindings():
    with channel() as ch, exchange(ch, "topic") as ex, queue(ch) as name:
        for number in range(300):
            ch.queue_bind(name, ex, "k.%d.*" % number)
        ch.confirm_delivery()
        for number in range(300):
            ch.basic_publish(ex, "k.%d.x" % number, b"x")
        assert depth(ch, name) == 300
        eventually(lambda: depth(ch, name) == 300)


CASES = [
    ("route-direct", direct),
    ("route-fanout", fanout),
    ("route-topic", topic),
    ("route-headers", headers),
    ("exchange-to-exchange", exchange_to_exchange),
    ("alternate-exchange", alternate_exchange),
    ("default-exchange", default_exchange),
    ("exchange-rules", exchange_rules),
    ("unknown-exchange-type", unknown_exchange_type),
    ("predeclared-exchanges", predeclared_exchanges),
    ("deleting", deleting),
    ("auto-delete-exchange", auto_delete_exchange),
    ("internal-exchange", internal_exchange),
    ("binding-unknown", binding_unknown),
    ("consistent-hash", consistent_hash),
    ("random-exchange", random_exchange),
    ("cc-and-bcc", cc_and_bcc),
    ("many-bindings", many_bindings),
]
