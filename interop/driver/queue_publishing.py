"""A publisher with confirms."""

import socket
import time

import pika
from pika.adapters.select_connection import IOLoop
from pika.exceptions import AMQPError
from queue_recording import RECONNECT_SECONDS, Nodes, body_of, properties_of, tell_error
from queue_workload import ADDRESSES, TURNS, Names, delay_ms, fate_of, own_ttl_ms
from recording import is_asked_to_stop

TICK_SECONDS = 0.01
MAX_UNCONFIRMED = 200
# A node that does not confirm for so long is left for another one.
CONFIRM_SECONDS = 5.0
# What is not confirmed so long after the last publish stays unsure.
LAST_CONFIRM_SECONDS = 30.0


class Publishing:
    """Publishes numbered values at a steady rate; each once, whatever becomes of it."""

    def __init__(self, options, history):
        self.options = options
        self.history = history
        self.names = Names(options.prefix)
        self.nodes = Nodes(options, options.turn)
        self.loop = IOLoop()
        self.connection = None
        self.connection_count = 0
        self.channel = None
        self.is_blocked = False
        self.blocked_count = 0
        # Confirms may be waited for since then.
        self.resumed_at = time.monotonic()
        self.tag = 0
        # By delivery tag: value, address and time.
        self.unconfirmed = {}
        self.returned = set()
        self.confirmed = dict.fromkeys(ADDRESSES, 0)
        self.number = 0
        self.errors = 0
        self.start = time.monotonic()
        self.ends_at = None

    def run(self):
        self.connect()
        self.loop.call_later(TICK_SECONDS, self.tick)
        self.loop.start()
        self.tell()

    def connect(self):
        self.connection_count += 1
        self.connection = pika.SelectConnection(
            self.nodes.next(),
            on_open_callback=self.on_open,
            on_open_error_callback=self.on_closed,
            on_close_callback=self.on_closed,
            custom_ioloop=self.loop,
        )

    def on_open(self, connection):
        connection.add_on_connection_blocked_callback(lambda *_: self.set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self.set_blocked(False))
        connection.channel(on_open_callback=self.on_channel)

    def set_blocked(self, is_blocked):
        self.is_blocked = is_blocked
        self.blocked_count += is_blocked
        self.resumed_at = time.monotonic()

    def on_channel(self, channel):
        channel.add_on_close_callback(self.on_channel_closed)
        channel.add_on_return_callback(self.on_returned)
        channel.confirm_delivery(self.on_confirm, callback=lambda _: self.on_ready(channel))

    def on_ready(self, channel):
        self.channel = channel
        self.tag = 0

    def on_channel_closed(self, channel, reason):
        self.channel = None
        if self.connection.is_open:
            self.leave("channel", reason)

    def on_closed(self, connection, reason):
        if connection is not self.connection:
            return
        self.channel = None
        self.is_blocked = False
        for value, _, _ in self.unconfirmed.values():
            self.history.write("info", "publish", value=value)
        self.unconfirmed = {}
        if self.ends_at is not None:
            self.loop.stop()
            return
        self.errors += 1
        tell_error("connection", reason)
        self.loop.call_later(RECONNECT_SECONDS, self.connect)

    def leave(self, what, reason):
        """Ends the connection as a crash would; its end is noted once that is seen."""
        tell_error(what, reason)
        try:
            self.connection._transport._sock.shutdown(socket.SHUT_RDWR)
        except (AttributeError, OSError) as error:
            tell_error("shutdown", error)

    def on_returned(self, channel, method, properties, body):
        self.returned.add(properties.message_id)

    def on_confirm(self, frame):
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        is_ack = isinstance(frame.method, pika.spec.Basic.Ack)
        tags = [it for it in self.unconfirmed if it <= tag] if multiple else [tag]
        for tag in tags:
            value, address, _ = self.unconfirmed.pop(tag)
            if value in self.returned:
                self.history.write("fail", "publish", value=value, returned=True)
            elif is_ack:
                self.confirmed[address] += 1
                self.history.write("ok", "publish", value=value)
            else:
                self.errors += 1
                self.history.write("info", "publish", value=value)

    def publish(self):
        options = self.options
        address = TURNS[self.number % len(TURNS)]
        value = "%s-%d" % (options.process, self.number)
        fate, ttl_ms = fate_of(value, address), own_ttl_ms(value, address)
        own = {} if ttl_ms is None else {"ttl_ms": ttl_ms}
        self.number += 1
        self.tag += 1
        self.history.write(
            "invoke",
            "publish",
            to=address,
            value=value,
            fate=fate,
            connection=self.connection_count,
            **own,
        )
        self.unconfirmed[self.tag] = (value, address, time.monotonic())
        self.channel.basic_publish(
            *self.names.route(address),
            body_of(value, options.value_bytes),
            properties_of(value, fate, ttl_ms, delay_ms(address)),
            mandatory=True,
        )

    def tick(self):
        self.loop.call_later(TICK_SECONDS, self.tick)
        now = time.monotonic()
        if self.ends_at is None and is_asked_to_stop():
            self.ends_at = now + LAST_CONFIRM_SECONDS
        oldest = next(iter(self.unconfirmed.values()), None)
        if self.ends_at is not None:
            if oldest is None or now > self.ends_at or self.channel is None:
                self.finish()
            return
        # Whoever is told to wait is not left for that.
        is_late = oldest is not None and now - max(oldest[2], self.resumed_at) > CONFIRM_SECONDS
        if is_late and not self.is_blocked:
            self.leave("unconfirmed", oldest)
        try:
            self.publish_due(now)
        except AMQPError as error:
            self.leave("publish", error)
        self.tell()

    def publish_due(self, now):
        due = int((now - self.start) * self.options.rate) + 1
        # What fell due while nothing could be published is not made up for.
        if due - self.number > self.options.rate:
            self.start += (due - self.number) / self.options.rate
        while self.number < due and self.channel is not None and not self.is_blocked:
            if len(self.unconfirmed) >= MAX_UNCONFIRMED:
                return
            self.publish()

    def finish(self):
        if self.connection.is_open:
            self.connection.close()
        else:
            self.on_closed(self.connection, "asked to stop")

    def tell(self):
        print("acked", min(self.confirmed.values()), flush=True)
        print("errors", self.errors, flush=True)
        print("blocked", self.blocked_count, flush=True)
