"""The methods by which MassTransit 8 and NServiceBus 10 set up their queues and exchanges, in their order."""

from pika.spec import Exchange, Queue


def fanout(name, durable=True, auto_delete=False, arguments=None):
    return exchange(name, "fanout", durable, auto_delete, arguments)


def exchange(name, kind, durable=True, auto_delete=False, arguments=None):
    return Exchange.Declare(
        exchange=name, type=kind, durable=durable, auto_delete=auto_delete, arguments=arguments or {}
    )


def queue(name, arguments=None, durable=True, exclusive=False, auto_delete=False):
    return Queue.Declare(
        queue=name, durable=durable, exclusive=exclusive, auto_delete=auto_delete, arguments=arguments or {}
    )


def bind(destination, source, key="", arguments=None):
    return Exchange.Bind(destination=destination, source=source, routing_key=key, arguments=arguments or {})


def bind_queue(name, source, key="", arguments=None):
    return Queue.Bind(queue=name, exchange=source, routing_key=key, arguments=arguments or {})


class MassTransit:
    """One service with two consumers of messages that implement interfaces, and its bus."""

    def __init__(self, run, queue_arguments=None):
        self.arguments = queue_arguments or {}
        self.submitted = run + ".Contracts:OrderSubmitted"
        self.event = run + ".Contracts:IOrderEvent"
        self.check = run + ".Contracts:CheckOrder"
        self.endpoint = run + "-order-service"
        self.bus = run + "_dotnet_bus_obxyyy8yh5cn5z8xbdqn"
        self.fault = "MassTransit:Fault--%s--" % self.submitted

    def receive_endpoint(self):
        """ReceiveEndpoint: the queue, its exchange of the same name, and those of the messages bound to it."""
        return [
            queue(self.endpoint, self.arguments),
            fanout(self.endpoint),
            fanout(self.submitted),
            fanout(self.check),
            bind_queue(self.endpoint, self.endpoint),
            bind(self.endpoint, self.submitted),
            bind(self.endpoint, self.check),
        ]

    def bus_endpoint(self):
        """The temporary queue of the process, for answers."""
        expiring = {"x-expires": 60_000}
        return [
            queue(self.bus, expiring, durable=False, auto_delete=True),
            fanout(self.bus, durable=False, auto_delete=True, arguments=expiring),
            bind_queue(self.bus, self.bus),
        ]

    def publish(self):
        """Publish of a message type: its exchange, that of its interface, and the way between them."""
        return [fanout(self.submitted), fanout(self.event), bind(self.event, self.submitted)]

    def error(self, kind="error"):
        """Where messages go whose consumer failed, or that no consumer takes."""
        name = "%s_%s" % (self.endpoint, kind)
        return [queue(name, self.arguments), fanout(name), bind_queue(name, name)]

    def faults(self):
        """Published for a message whose consumer failed."""
        return [fanout(self.fault), fanout("MassTransit:Fault"), bind("MassTransit:Fault", self.fault)]

    def delay(self):
        """DelayedMessageScheduler: an exchange that delays, before the endpoint's own."""
        name = self.endpoint + "_delay"
        delayed = exchange(name, "x-delayed-message", arguments={"x-delayed-type": "fanout"})
        return [delayed, fanout(self.endpoint), bind(self.endpoint, name)]

    def queues(self):
        return [self.endpoint, self.endpoint + "_error", self.endpoint + "_skipped", self.bus]

    def exchanges(self):
        return [*self.queues(), self.submitted, self.event, self.check, self.fault, self.endpoint + "_delay"]


class NServiceBus:
    """Two endpoints in conventional routing on quorum queues, and the delay infrastructure with 28 levels."""

    LEVELS = 28

    def __init__(self, run):
        self.run = run
        self.sales = run + ".Sales"
        self.billing = run + ".Billing"
        self.error = run + ".error"
        self.delivery = run + ".nsb.v2.delay-delivery"
        self.placed = run + ".Messages:OrderPlaced"
        self.interface = run + ".Messages:IOrderEvent"

    def level(self, number):
        return "%s.nsb.v2.delay-level-%02d" % (self.run, number)

    def delays(self):
        """A queue a bit of the delay in seconds: it waits there, or passes by, and falls to the next."""
        methods = []
        key = "1.#"
        for number in reversed(range(self.LEVELS)):
            arguments = {
                "x-queue-type": "quorum",
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                "x-message-ttl": 2**number * 1000,
                "x-dead-letter-exchange": self.level(number - 1) if number else self.delivery,
            }
            name = self.level(number)
            methods += [exchange(name, "topic"), queue(name, arguments), bind_queue(name, name, key)]
            key = "*." + key
        key = "0.#"
        for number in reversed(range(1, self.LEVELS)):
            methods.append(bind(self.level(number - 1), self.level(number), key))
            key = "*." + key
        return [*methods, exchange(self.delivery, "topic"), bind(self.delivery, self.level(0), key)]

    def endpoint(self, name):
        """An endpoint's queue behind an exchange of its name, where delayed messages come in too."""
        return [
            queue(name, {"x-queue-type": "quorum"}),
            fanout(name),
            bind_queue(name, name),
            bind(name, self.delivery, "#." + name),
        ]

    def error_queue(self):
        return [queue(self.error, {"x-queue-type": "quorum"}), fanout(self.error), bind_queue(self.error, self.error)]

    def subscription(self):
        """Types are exchanges that are bound to those of their base types, and subscribers to them."""
        return [
            fanout(self.placed),
            fanout(self.interface),
            bind(self.interface, self.placed),
            bind(self.billing, self.interface),
        ]

    def delayed(self, seconds, endpoint):
        """The exchange and the routing key for a delay: its bits, highest first, and the endpoint."""
        bits = [seconds >> number & 1 for number in reversed(range(self.LEVELS))]
        first = max((number for number in range(self.LEVELS) if seconds >> number & 1), default=0)
        return self.level(first), ".".join(map(str, bits)) + "." + endpoint

    def queues(self):
        levels = [self.level(number) for number in range(self.LEVELS)]
        return [self.sales, self.billing, self.error, *levels]

    def exchanges(self):
        return [*self.queues(), self.delivery, self.placed, self.interface]
