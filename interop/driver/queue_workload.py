"""The queues that clients of the fault runs share, and what is published to them."""

from typing import NamedTuple, Optional

from recording import hash_of

DELIVERY_LIMIT = 3
TTL_MS = 1500
# Of every other message to the queue whose messages expire.
OWN_TTL_MS = 700
# How long messages wait at the exchange that delays them.
DELAY_MS = 600


class Queue(NamedTuple):
    """A queue, by its name within a run."""

    name: str
    kind: str
    # Addresses whose messages it gets.
    sources: tuple = ()
    dead: Optional[str] = None
    ttl_ms: Optional[int] = None
    limit: Optional[int] = None
    delay_ms: Optional[int] = None
    one: Optional[str] = None
    # Its consumers settle in transactions, so that they know what they have settled.
    tx: bool = True

    def arguments(self, names):
        arguments = {"x-queue-type": self.kind}
        if self.dead is not None:
            arguments["x-dead-letter-exchange"] = names.exchange("dead")
            arguments["x-dead-letter-routing-key"] = self.dead
        if self.ttl_ms is not None:
            arguments["x-message-ttl"] = self.ttl_ms
        if self.limit is not None:
            arguments["x-delivery-limit"] = self.limit
        if self.one == "single":
            arguments["x-single-active-consumer"] = True
        return arguments


QUEUES = [
    Queue("work", "classic", ("work",), dead="work.dead", tx=False),
    Queue("tx", "quorum", ("tx",), dead="tx.dead"),
    Queue("limit", "quorum", ("limit",), dead="limit.dead", limit=DELIVERY_LIMIT),
    Queue("ttl", "classic", ("ttl",), dead="expired", ttl_ms=TTL_MS),
    Queue("single", "quorum", ("single",), one="single"),
    Queue("exclusive", "classic", ("exclusive",), one="exclusive"),
    Queue("fan.classic", "classic", ("fan",), tx=False),
    Queue("fan.quorum", "quorum", ("fan",)),
    Queue("fan.left", "classic", ("fan",)),
    Queue("work.dead", "classic"),
    Queue("tx.dead", "quorum"),
    Queue("limit.dead", "quorum"),
    Queue("expired", "quorum"),
    Queue("late", "quorum", ("late",), delay_ms=DELAY_MS),
]
BY_NAME = {queue.name: queue for queue in QUEUES}
# Their messages wait for the end, or for their time to run out.
UNCONSUMED = {"ttl", "fan.left", "work.dead", "tx.dead", "limit.dead"}
CONSUMED = [queue.name for queue in QUEUES if queue.name not in UNCONSUMED]
# What is published goes there in turn.
TURNS = "work tx ttl single work tx limit exclusive work tx ttl single work tx fan exclusive late".split()
ADDRESSES = sorted(set(TURNS))

# Of a thousand messages to an address; the others are acknowledged at once.
FATES = {
    "work": (("reject", 100), ("later", 100), ("crash", 5)),
    "tx": (("reject", 100), ("later", 100), ("crash", 5)),
    "limit": (("poison", 200), ("later", 50)),
    "ttl": (("expire", 1000),),
    "single": (("later", 100), ("crash", 5)),
    "exclusive": (("later", 100), ("crash", 5)),
    "fan": (),
    "late": (("later", 100), ("crash", 5)),
}


class Names:
    """What queues and exchanges of one run are called."""

    def __init__(self, prefix):
        self.prefix = prefix

    def queue(self, name):
        return "%s.%s" % (self.prefix, name)

    def exchange(self, name):
        return "%s.%s" % (self.prefix, name)

    def route(self, address):
        """Exchange and routing key of an address: some go by the default exchange."""
        if address == "fan":
            return self.exchange("fan"), ""
        if address in ("work", "limit"):
            return "", self.queue(address)
        if address == "late":
            return self.exchange("delayed"), address
        return self.exchange("direct"), address


def fate_of(value, address):
    draw = hash_of(value) % 1000
    for fate, share in FATES[address]:
        if draw < share:
            return fate
        draw -= share
    return "ack"


def own_ttl_ms(value, address):
    if address == "ttl" and hash_of(value) % 2 == 0:
        return OWN_TTL_MS
    return None


def delay_ms(address):
    return DELAY_MS if address == "late" else None


def declare(channel, names):
    """Makes exchanges, queues and bindings."""
    for name, kind in (("direct", "direct"), ("fan", "fanout"), ("dead", "direct")):
        channel.exchange_declare(names.exchange(name), kind, durable=True)
    channel.exchange_declare(
        names.exchange("delayed"), "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"}
    )
    for queue in QUEUES:
        name = names.queue(queue.name)
        channel.queue_declare(name, durable=True, arguments=queue.arguments(names))
        if not queue.sources:
            channel.queue_bind(name, names.exchange("dead"), queue.name)
        for address in queue.sources:
            exchange, key = names.route(address)
            if exchange:
                channel.queue_bind(name, exchange, key)


def describe(history):
    """Writes down what queues there are."""
    for queue in QUEUES:
        fields = {"queue": queue.name, "from": list(queue.sources)}
        for key in ("dead", "ttl_ms", "limit", "delay_ms", "one"):
            if getattr(queue, key) is not None:
                fields[key] = getattr(queue, key)
        history.write("ok", "queue", **fields)
