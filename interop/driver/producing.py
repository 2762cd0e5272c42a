"""Idempotent producers."""

import sys
import time

from confluent_kafka import Producer
from recording import (
    NEVER_SENT,
    PRODUCING,
    REPORT_SECONDS,
    History,
    create_topic,
    is_asked_to_stop,
    note_identities,
    payload,
)

# Small ones, so that there is something to compact within seconds.
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": "1048576",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.ms": "2000",
    "max.compaction.lag.ms": "5000",
}


class Producing:
    """An idempotent producer at a steady rate."""

    def __init__(self, options):
        self.options = options
        self.history = History(options)
        self.acked_by_partition = [0] * options.partitions
        self.unsure = 0
        self.fatal = None
        self.next_report = 0.0
        note_identities(self.history)
        self.producer = Producer(
            {
                **PRODUCING,
                "bootstrap.servers": options.bootstrap,
                "message.timeout.ms": 600000,
                "error_cb": self.on_error,
            }
        )

    def on_error(self, error):
        if error.fatal():
            self.fatal = error

    def report_of(self, partition, value):
        def on_delivery(error, message):
            if error is None:
                self.acked_by_partition[partition] += 1
                self.history.write("ok", "send", partition, value, message.offset())
            elif error.code() in NEVER_SENT:
                self.history.write("fail", "send", partition, value)
            else:
                self.unsure += 1
                print("unsure:", value, error, file=sys.stderr, flush=True)
                self.history.write("info", "send", partition, value)

        return on_delivery

    def tell(self, force=False):
        now = time.monotonic()
        if force or now >= self.next_report:
            self.next_report = now + REPORT_SECONDS
            print("acked", min(self.acked_by_partition), flush=True)
            self.history.flush()
        if self.fatal is not None:
            self.history.flush(force=True)
            print("fatal:", self.fatal, file=sys.stderr, flush=True)
            sys.exit(3)

    def send(self, number):
        """False when the queue is full."""
        options = self.options
        partition = number % options.partitions
        value = "%s-%d" % (options.process, number)
        message_key = None
        if options.message_keys:
            message_key = number // options.partitions % options.message_keys
        try:
            self.producer.produce(
                options.topic,
                payload(value, options.value_bytes),
                key=None if message_key is None else "%d" % message_key,
                partition=partition,
                on_delivery=self.report_of(partition, value),
            )
        except BufferError:
            return False
        self.history.write("invoke", "send", partition, value, message_key=message_key)
        return True

    def run(self):
        options = self.options
        create_topic(options, options.topic, COMPACTED if options.message_keys else None)
        number = 0
        start = time.monotonic()
        while not is_asked_to_stop():
            due = int((time.monotonic() - start) * options.rate) + 1
            # What fell due while the queue was full is not made up for.
            if due - number > options.rate:
                start += (due - number) / options.rate
            while number < due and self.send(number):
                number += 1
            self.producer.poll(0.004)
            self.tell()
        end = time.monotonic() + options.limit_seconds
        while self.producer.flush(REPORT_SECONDS) > 0 and time.monotonic() < end:
            self.tell()
        self.tell(force=True)
        self.history.flush(force=True)
        print("in doubt", self.unsure + len(self.producer), flush=True)
