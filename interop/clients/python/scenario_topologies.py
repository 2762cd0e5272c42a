"""What MassTransit and NServiceBus declare, method by method as they send it, and the messages that go through it."""

import contextlib
import time

import pika
from amqp_ground import Received, bodies, channel, connect, depth, limited, take
from pika.spec import Exchange, Queue
from report import Skip, name_of, run
from topologies import MassTransit, NServiceBus

ANSWERS = {
    Exchange.Declare: Exchange.DeclareOk,
    Exchange.Bind: Exchange.BindOk,
    Queue.Declare: Queue.DeclareOk,
    Queue.Bind: Queue.BindOk,
}
MASSTRANSIT = {
    "content_type": "application/vnd.masstransit+json",
    "delivery_mode": 2,
    "message_id": "01000000-5d2b-0015-9a1c-08dc5d2f7e11",
    "headers": {"Content-Type": "application/vnd.masstransit+json", "publishId": "1", "MT-Activity-Id": "00-x-y-01"},
}
NSERVICEBUS = {
    "content_type": "application/json",
    "delivery_mode": 2,
    "message_id": "f2c1a6b4-0b9e-4a55-8a6f-aefb00ac9f52",
    "type": "Messages.OrderPlaced",
    "headers": {
        "NServiceBus.EnclosedMessageTypes": "Messages.OrderPlaced, Messages",
        "NServiceBus.MessageIntent": "Publish",
        "NServiceBus.Transport.RabbitMQ.ConfirmationId": "1",
    },
}


def replay(ch, methods):
    """Sends each method as it stands, all before the first answer is waited for, as their clients do."""
    answered = []
    for method in methods:
        ch._impl._rpc(method, answered.append, [ANSWERS[type(method)]])
    end = time.monotonic() + 30
    while len(answered) < len(methods):
        assert time.monotonic() < end, "%d of %d answers" % (len(answered), len(methods))
        ch.connection.process_data_events(0.05)
        if ch.is_closed:
            raise ch._closing_reason


@contextlib.contextmanager
def service(topology):
    with channel() as ch:
        ch.confirm_delivery()
        try:
            yield ch
        finally:
            with connect() as connection:
                cleaning = connection.channel()
                for name in topology.queues():
                    cleaning.queue_delete(name)
                for name in topology.exchanges():
                    cleaning.exchange_delete(name)


def publish(ch, exchange, body, key="", **properties):
    ch.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)


def masstransit_on(arguments):
    def case():
        bus = MassTransit(name_of("MassTransit"), arguments)
        with service(bus) as ch, channel(-1) as far:
            replay(ch, bus.bus_endpoint())
            replay(ch, bus.receive_endpoint())
            replay(ch, bus.receive_endpoint())
            far.basic_qos(prefetch_count=16)
            orders = Received(far, bus.endpoint)
            replay(ch, bus.publish())
            # Its interface has no consumer; its own exchange leads to one.
            publish(ch, bus.submitted, b"{}", **MASSTRANSIT)
            [(method, properties, _)] = orders.until(1)
            assert properties.headers == MASSTRANSIT["headers"], properties.headers
            assert method.exchange == bus.submitted, method
            far.basic_ack(method.delivery_tag)
            try:
                publish(ch, bus.event, b"{}", **MASSTRANSIT)
                raise AssertionError("nobody takes it")
            except pika.exceptions.UnroutableError:
                pass

    return case


def masstransit_request():
    bus = MassTransit(name_of("MassTransit"))
    with service(bus) as ch, channel(-1) as far:
        replay(ch, bus.bus_endpoint())
        replay(far, bus.receive_endpoint())
        answers = Received(ch, bus.bus)
        publish(ch, bus.check, b"{}", **MASSTRANSIT, correlation_id="7", reply_to=bus.bus)
        [(method, properties, _)] = take(far, bus.endpoint, 1, auto_ack=False)
        # The answer goes to the exchange of the caller's temporary queue.
        far.basic_publish(properties.reply_to, "", b"answer", pika.BasicProperties(correlation_id="7"))
        far.basic_ack(method.delivery_tag)
        answers.until(1)
        assert answers.bodies() == [b"answer"]


def masstransit_faults():
    bus = MassTransit(name_of("MassTransit"))
    with service(bus) as ch:
        replay(ch, bus.receive_endpoint())
        for kind in ["error", "skipped"]:
            replay(ch, bus.error(kind))
            publish(ch, "%s_%s" % (bus.endpoint, kind), b"{}", **MASSTRANSIT)
            assert bodies(take(ch, "%s_%s" % (bus.endpoint, kind), 1)) == [b"{}"]
        replay(ch, bus.faults())
        ch.basic_publish(bus.fault, "", b"{}")


def masstransit_scheduling():
    bus = MassTransit(name_of("MassTransit"))
    with service(bus) as ch:
        replay(ch, bus.receive_endpoint())
        try:
            replay(ch, bus.delay())
        except pika.exceptions.ChannelClosedByBroker as error:
            raise Skip(error.reply_text) from error
        asked = time.monotonic()
        delayed = {**MASSTRANSIT, "headers": {**MASSTRANSIT["headers"], "x-delay": 1500}}
        ch.basic_publish(bus.endpoint + "_delay", "", b"{}", pika.BasicProperties(**delayed))
        take(ch, bus.endpoint, 1)
        assert time.monotonic() - asked >= 1.4


def masstransit_goes():
    """Its temporary queue and exchange go with the process."""
    bus = MassTransit(name_of("MassTransit"))
    with service(bus) as ch:
        process = connect(-1)
        own = process.channel()
        replay(own, bus.bus_endpoint())
        Received(own, bus.bus)
        process.close()
        end = time.monotonic() + 10
        while True:
            looking = ch.connection.channel()
            try:
                looking.queue_declare(bus.bus, passive=True)
                looking.exchange_declare(bus.bus, passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                assert error.reply_code == 404, error
                return
            looking.close()
            assert time.monotonic() < end, "it is still there"
            time.sleep(0.1)


def nservicebus_events():
    system = NServiceBus(name_of("NServiceBus"))
    with service(system) as ch, channel(-1) as far:
        replay(ch, system.delays())
        for endpoint in [system.sales, system.billing]:
            replay(ch, system.endpoint(endpoint))
        replay(ch, system.error_queue())
        replay(ch, system.subscription())
        far.basic_qos(prefetch_count=10)
        received = Received(far, system.billing)
        for number in range(20):
            publish(ch, system.placed, b"%d" % number, **NSERVICEBUS)
        while len(received) < 20:
            received.until(len(received) + 1)
            far.basic_ack(received[-1][0].delivery_tag)
        assert received.bodies() == [b"%d" % number for number in range(20)]
        assert received[0][1].headers == NSERVICEBUS["headers"], received[0][1].headers
        assert depth(ch, system.sales) == 0
        # A command goes to the exchange of its endpoint; a failed one to the error queue.
        publish(ch, system.sales, b"command", **NSERVICEBUS)
        assert bodies(take(far, system.sales, 1)) == [b"command"]
        publish(ch, system.error, b"failed", **NSERVICEBUS)
        assert bodies(take(far, system.error, 1)) == [b"failed"]


def nservicebus_delays():
    system = NServiceBus(name_of("NServiceBus"))
    with service(system) as ch:
        replay(ch, system.delays())
        replay(ch, system.delays())
        replay(ch, system.endpoint(system.sales))
        asked = time.monotonic()
        for seconds in [5, 1, 2]:
            exchange, key = system.delayed(seconds, system.sales)
            publish(ch, exchange, b"%d" % seconds, key, **NSERVICEBUS)
        for seconds in [1, 2, 5]:
            [(_, properties, body)] = take(ch, system.sales, 1)
            assert body == b"%d" % seconds, body
            assert time.monotonic() - asked >= seconds - 0.1, "%d s" % seconds
        # Five seconds are four and one: it died in two queues.
        deaths = [death["queue"] for death in properties.headers["x-death"]]
        assert deaths == [system.level(0), system.level(2)], deaths
        assert properties.headers["x-first-death-queue"] == system.level(2)


CASES = [
    ("masstransit-classic", masstransit_on(None)),
    ("masstransit-quorum", masstransit_on({"x-queue-type": "quorum"})),
    ("masstransit-request", masstransit_request),
    ("masstransit-faults", masstransit_faults),
    ("masstransit-scheduling", masstransit_scheduling),
    ("masstransit-goes", masstransit_goes),
    ("nservicebus-events", nservicebus_events),
    ("nservicebus-delays", nservicebus_delays),
]

run(pika.__version__, [(name, limited(case)) for name, case in CASES])
