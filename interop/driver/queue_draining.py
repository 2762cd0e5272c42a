"""The consumer of everything at the end."""

import sys
import time

import pika
from queue_recording import Message, Nodes
from queue_workload import QUEUES, Names

PREFETCH = 50
# So long nothing comes before the queues are asked whether they are empty.
QUIET_SECONDS = 3.0
POLL_SECONDS = 0.2


class Draining:
    """Consumes all queues until all are empty, and does with each message what is to be done."""

    def __init__(self, options, history):
        self.options = options
        self.history = history
        self.names = Names(options.prefix)
        self.messages = []
        self.connection = pika.BlockingConnection(Nodes(options, options.turn).next())
        self.asking = self.connection.channel()
        self.channel = self.connection.channel()

    def consume(self, queue):
        session = self.history.next_session()
        fields = {"queue": queue.name, "prefetch": PREFETCH, "tx": True}
        self.history.write("invoke", "consume", session=session, **fields)

        def on_message(channel, method, properties, body):
            message = Message(method, properties, body)
            message.tell(self.history, session)
            self.messages.append((session, message))

        self.channel.basic_consume(self.names.queue(queue.name), on_message)
        self.history.write("ok", "consume", session=session)

    def settle(self, messages):
        for session, message in messages:
            way = message.settlement(may_crash=False)
            self.history.write("invoke", way, session=session, value=message.value)
            if way == "ack":
                self.channel.basic_ack(message.tag)
            else:
                self.channel.basic_reject(message.tag, requeue=way == "requeue")
        sessions = {session for session, _ in messages}
        for session in sessions:
            self.history.write("invoke", "commit", session=session)
        self.channel.tx_commit()
        for session in sessions:
            self.history.write("ok", "commit", session=session)

    def left(self):
        """Messages that queues say they have, by queue."""
        counts = {}
        for queue in QUEUES:
            name = self.names.queue(queue.name)
            answer = self.asking.queue_declare(name, passive=True)
            counts[queue.name] = answer.method.message_count
        return {name: count for name, count in counts.items() if count > 0}

    def run(self):
        self.channel.tx_select()
        self.channel.basic_qos(prefetch_count=PREFETCH)
        for queue in QUEUES:
            if queue.ttl_ms is None:
                self.consume(queue)
        now = time.monotonic()
        end, quiet_since = now + self.options.limit_seconds, now
        while True:
            self.connection.process_data_events(POLL_SECONDS)
            messages, self.messages = self.messages, []
            if messages:
                self.settle(messages)
                quiet_since = time.monotonic()
            if time.monotonic() - quiet_since > QUIET_SECONDS:
                left = self.left()
                if not left:
                    break
                if time.monotonic() > end:
                    sys.exit("not empty: %s" % left)
        self.connection.close()
