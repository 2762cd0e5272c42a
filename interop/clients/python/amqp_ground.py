"""Connections and small words for cases with pika."""

import contextlib
import functools
import os
import signal
import time

import pika
from report import BOOTSTRAP, name_of

# A suite of several protocols begins elsewhere.
ADDRESSES = [address.rsplit(":", 1) for address in os.environ.get("AMQP", BOOTSTRAP).split(",")]
CASE_SECONDS = 60


def parameters(node=0, **more):
    host, port = ADDRESSES[node]
    options = {"socket_timeout": 10, "stack_timeout": 15, "blocked_connection_timeout": 30, **more}
    return pika.ConnectionParameters(host, int(port), **options)


def connect(node=0, **more):
    return pika.BlockingConnection(parameters(node, **more))


@contextlib.contextmanager
def channel(node=0, **more):
    """A channel on a connection of its own; -1 is the last node, where there are several."""
    connection = connect(node, **more)
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


@contextlib.contextmanager
def queue(channel, arguments=None, **more):
    """A queue that goes with its case."""
    name = name_of("pika")
    channel.queue_declare(name, arguments=arguments, durable=True, **more)
    try:
        yield name
    finally:
        with contextlib.suppress(Exception), connect() as connection:
            connection.channel().queue_delete(name)


@contextlib.contextmanager
def exchange(channel, kind="direct", **more):
    """An exchange that goes with its case."""
    name = name_of("pika-" + kind)
    channel.exchange_declare(name, kind, **more)
    try:
        yield name
    finally:
        with contextlib.suppress(Exception), connect() as connection:
            connection.channel().exchange_delete(name)


def put(channel, name, *bodies, **properties):
    for body in bodies:
        channel.basic_publish("", name, body, pika.BasicProperties(**properties))


def take(channel, name, count, seconds=15.0, auto_ack=True):
    """`count` messages by basic.get, as (method, properties, body)."""
    taken = []
    end = time.monotonic() + seconds
    while len(taken) < count:
        method, properties, body = channel.basic_get(name, auto_ack=auto_ack)
        if method:
            taken.append((method, properties, body))
        else:
            assert time.monotonic() < end, "%d of %d messages" % (len(taken), count)
            time.sleep(0.05)
    return taken


def bodies(taken):
    return [message[2] for message in taken]


class Received(list):
    """What a consumer was given."""

    def __init__(self, channel, name, auto_ack=False, on_message=None, **more):
        super().__init__()
        self.channel = channel
        self.on_message = on_message
        self.tag = channel.basic_consume(name, self._take, auto_ack=auto_ack, **more)

    def _take(self, channel, method, properties, body):
        self.append((method, properties, body))
        if self.on_message:
            self.on_message(method, body)

    def until(self, count, seconds=15.0):
        end = time.monotonic() + seconds
        while len(self) < count:
            assert time.monotonic() < end, "%d of %d deliveries" % (len(self), count)
            self.channel.connection.process_data_events(0.05)
        return self

    def bodies(self):
        return bodies(self)


def idle(connection, seconds=0.4):
    """Time in which something that must not come could come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.process_data_events(0.05)


def depth(channel, name):
    return channel.queue_declare(name, passive=True).method.message_count


def refused(call, *codes):
    """Fails unless the broker closes the channel, or the connection, with one of the codes."""
    try:
        call()
    except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as error:
        assert error.reply_code in codes, "refused with %s: %s" % (error.reply_code, error.reply_text)
        return error
    raise AssertionError("not refused with " + " or ".join(map(str, codes)))


def limited(case):
    """pika waits for answers without end; a case does not."""

    @functools.wraps(case)
    def wrapped():
        def over(signum, frame):
            raise TimeoutError("not within %d s" % CASE_SECONDS)

        before = signal.signal(signal.SIGALRM, over)
        signal.alarm(CASE_SECONDS)
        try:
            case()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    return wrapped
