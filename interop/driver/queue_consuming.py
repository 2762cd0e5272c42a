"""Consumers: of several queues each, on a connection for every queue."""

import random
import socket
import sys
import threading
import time

import pika
from pika.exceptions import ChannelClosedByBroker
from queue_recording import LOST, RECONNECT_SECONDS, Message, Nodes, tell_error
from queue_workload import BY_NAME, CONSUMED, Names
from recording import hash_of, is_asked_to_stop

PREFETCH = 10
MAX_GETS = 10
POLL_SECONDS = 0.05
REPORT_SECONDS = 0.1
# After such a time a consumer leaves by itself: soon where others wait for its place, and else so
# late that it is missed when it gets nothing.
ALONE_SECONDS = (1.0, 4.0)
BESIDE_SECONDS = (60.0, 120.0)
CLASH_SECONDS = 0.2
CLOSE_SECONDS = 5.0
ACCESS_REFUSED = 403


class Left(Exception):
    """The session was left without a word."""


def is_own_kind(error):
    """Errors by which a client learns that its connection or channel is gone."""
    return isinstance(error, (*LOST, Left))


class Consumer(threading.Thread):
    """Consumes one queue, in one session after another."""

    def __init__(self, consuming, name, gets):
        super().__init__(daemon=True)
        self.consuming = consuming
        self.options = consuming.options
        self.history = consuming.history
        self.queue = BY_NAME[name]
        self.gets = gets
        self.random = random.Random(hash_of(self.options.process + name))
        self.nodes = Nodes(self.options, self.random.randrange(100))
        self.queue_name = Names(self.options.prefix).queue(name)
        self.session = None
        self.is_ended = True
        self.connection = None
        self.channel = None
        self.messages = []
        self.is_cancelled = False
        self.next_report = 0.0
        self.error = None

    def run(self):
        try:
            while not self.consuming.is_stopping:
                self.attend()
                time.sleep(RECONNECT_SECONDS)
        except Exception as error:  # A defect of this program: whoever waits for it must see it.
            self.error = error
            raise

    def attend(self):
        """One connection, from its begin to its end."""
        self.messages = []
        self.is_cancelled = False
        try:
            self.connection = pika.BlockingConnection(self.nodes.next())
            self.channel = self.connection.channel()
            self.work()
        except Exception as error:
            if not is_own_kind(error):
                raise
            self.end("info")
            if isinstance(error, ChannelClosedByBroker) and self.queue.one == "exclusive":
                if error.reply_code == ACCESS_REFUSED:
                    time.sleep(CLASH_SECONDS)
                    return
            if not isinstance(error, Left):
                self.consuming.failed(self.queue.name, error)
        finally:
            self.hang_up()

    def end(self, kind, **fields):
        if not self.is_ended:
            self.history.write(kind, "end", session=self.session, **fields)
            self.is_ended = True

    def hang_up(self):
        """Closes what is still open. This client cancels its consumers before it closes."""
        if self.connection is not None and self.connection.is_open:
            self.end("ok", cancelled=True)
            try:
                self.connection.close()
            except Exception as error:
                if not is_own_kind(error):
                    raise
                self.consuming.failed("close", error)
        self.connection = None

    def work(self):
        self.begin()
        least, most = BESIDE_SECONDS if self.queue.one is None else ALONE_SECONDS
        ends_at = time.monotonic() + self.random.uniform(least, most)
        while not self.consuming.is_stopping and not self.is_cancelled:
            if time.monotonic() > ends_at:
                self.leave()
                return
            if self.gets:
                self.get()
            else:
                self.connection.process_data_events(POLL_SECONDS)
            messages, self.messages = self.messages, []
            if messages:
                self.settle(messages)

    def begin(self):
        queue = self.queue
        if queue.tx:
            self.channel.tx_select()
        self.channel.basic_qos(prefetch_count=PREFETCH)
        self.channel.add_on_cancel_callback(self.on_cancelled)
        self.session = self.history.next_session()
        self.is_ended = False
        prefetch = 0 if self.gets else PREFETCH
        self.history.write(
            "invoke", "consume", session=self.session, queue=queue.name, prefetch=prefetch, tx=queue.tx
        )
        if not self.gets:
            self.channel.basic_consume(
                self.queue_name, self.on_message, exclusive=queue.one == "exclusive"
            )
        self.history.write("ok", "consume", session=self.session)

    def on_cancelled(self, frame):
        self.is_cancelled = True

    def on_message(self, channel, method, properties, body):
        message = Message(method, properties, body)
        message.tell(self.history, self.session)
        self.messages.append(message)

    def get(self):
        for _ in range(MAX_GETS):
            method, properties, body = self.channel.basic_get(self.queue_name)
            if method is None:
                break
            self.on_message(self.channel, method, properties, body)
        if not self.messages:
            self.connection.sleep(POLL_SECONDS)

    def settle(self, messages):
        channel, history, session = self.channel, self.history, self.session
        decided = [(it, it.settlement(may_crash=True)) for it in messages]
        is_all = not self.queue.tx and all(way == "ack" for _, way in decided)
        for message, way in decided:
            if way == "crash":
                self.vanish()
            history.write("invoke", way, session=session, value=message.value)
            if is_all:
                continue
            if way == "ack":
                channel.basic_ack(message.tag)
            else:
                channel.basic_reject(message.tag, requeue=way == "requeue")
        if self.queue.tx:
            history.write("invoke", "commit", session=session)
            channel.tx_commit()
            history.write("ok", "commit", session=session)
        elif is_all:
            channel.basic_ack(messages[-1].tag, multiple=True)
        self.report()

    def vanish(self):
        """The connection ends without a word, with all that it holds."""
        self.end("info")
        self.connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)
        self.wait_for_its_end()
        raise Left

    def leave(self):
        """Makes room for others in one of several ways."""
        way = self.random.randrange(3)
        if way == 0:
            self.vanish()
        if way == 1:
            self.end("ok", cancelled=True)
            for tag in list(self.channel.consumer_tags):
                self.channel.basic_cancel(tag)
            self.connection.sleep(POLL_SECONDS)
        else:
            self.end("ok")
            # This client's own close cancels all consumers before.
            close = pika.spec.Connection.Close(200, "making room", 0, 0)
            self.connection._impl._send_method(0, close)
            self.wait_for_its_end()

    def wait_for_its_end(self):
        ends_at = time.monotonic() + CLOSE_SECONDS
        try:
            while not self.connection.is_closed and time.monotonic() < ends_at:
                self.connection.process_data_events(POLL_SECONDS)
        except LOST:
            pass

    def report(self):
        now = time.monotonic()
        if now >= self.next_report:
            self.next_report = now + REPORT_SECONDS
            key = CONSUMED.index(self.queue.name)
            print("position", key, time.monotonic_ns(), flush=True)


class Consuming:
    """Consumers of all queues that are asked for."""

    def __init__(self, options, history):
        self.options = options
        self.history = history
        self.is_stopping = False
        self.errors = 0
        self.lock = threading.Lock()

    def failed(self, what, error):
        with self.lock:
            self.errors += 1
            tell_error(what, error)

    def run(self):
        names = self.options.queues.split(",") if self.options.queues else CONSUMED
        asked = set(self.options.gets.split(","))
        consumers = [Consumer(self, name, name in asked) for name in names]
        for consumer in consumers:
            consumer.start()
        while not is_asked_to_stop():
            print("errors", self.errors, flush=True)
            if any(consumer.error is not None for consumer in consumers):
                sys.exit(1)
            time.sleep(REPORT_SECONDS)
        self.is_stopping = True
        for consumer in consumers:
            consumer.join()
        if any(consumer.error is not None for consumer in consumers):
            sys.exit(1)
