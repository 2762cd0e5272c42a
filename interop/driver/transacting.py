"""Transactional producers."""

import random
import sys
import time

from confluent_kafka import KafkaException, Producer
from recording import (
    NEVER_SENT,
    PRODUCING,
    History,
    create_topic,
    hash_of,
    insist,
    is_asked_to_stop,
    note_identities,
    payload,
)

# Readers of committed messages wait for a transaction whose producer is gone, up to this.
TRANSACTION_TIMEOUT_MS = 15000
CALL_SECONDS = 5.0
# A producer that is given up is made anew, which ends what it left open.
INSIST_SECONDS = 60.0
MAX_SENDS = 8
ABORTED_OF_TEN = 2
MAX_OPEN_SECONDS = 0.2


class Transactions:
    """A transactional producer, made anew when it is lost, and what becomes of its transactions."""

    def __init__(self, options, history):
        self.options = options
        self.history = history
        self.log = note_identities(history)
        self.producer = None
        self.committed = 0
        self.errors = options.earlier_errors

    def opened(self):
        """The producer, with nothing open from before."""
        while self.producer is None:
            options = self.options
            producer = Producer(
                {
                    **PRODUCING,
                    "bootstrap.servers": options.bootstrap,
                    "transactional.id": options.transactional_id,
                    "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                }
            )
            try:
                insist(lambda: producer.init_transactions(CALL_SECONDS), INSIST_SECONDS)
                self.producer = producer
            except KafkaException as error:
                self.failed("init", error)
        return self.producer

    def failed(self, what, error):
        self.errors += 1
        print("error:", what, error, file=sys.stderr, flush=True)

    def run_one(self, fill, is_kept=True):
        """Fills one transaction and ends it; whether it was committed for certain."""
        producer = self.opened()
        is_asked = False
        try:
            producer.begin_transaction()
            self.history.write_step("invoke", "begin")
            fill(producer)
            if is_kept:
                producer.flush(INSIST_SECONDS)
                self.history.write_step("invoke", "end")
                # Before readers can see any of it, should this process be killed.
                self.history.flush(force=True)
                is_asked = True
                insist(lambda: producer.commit_transaction(CALL_SECONDS), INSIST_SECONDS)
                self.history.write_step("ok", "end")
                self.committed += 1
                return True
        # The last is what Python says where the client's binding has let an error of its own slip.
        except (KafkaException, BufferError, SystemError) as error:
            self.failed("transaction", error)
        self.abort(producer, is_asked)
        return False

    def abort(self, producer, is_asked):
        try:
            insist(lambda: producer.abort_transaction(CALL_SECONDS), INSIST_SECONDS)
            # Had it been committed, aborting it would have been refused.
            self.history.write_step("fail", "end")
        except KafkaException as error:
            self.failed("abort", error)
            self.history.write_step("info" if is_asked else "fail", "end")
            self.producer = None

    def tell(self):
        print("acked", self.committed, flush=True)
        print("errors", self.errors, flush=True)
        self.history.flush()


class Transacting:
    """Sends numbered values in transactions of several partitions; aborts some."""

    def __init__(self, options):
        self.options = options
        self.history = History(options)
        self.transactions = Transactions(options, self.history)
        self.random = random.Random(hash_of(options.process))
        self.number = 0
        self.reported = 0

    def report_of(self, partition, value):
        def on_delivery(error, message):
            self.reported += 1
            if error is None:
                self.history.write("ok", "send", partition, value, message.offset())
            else:
                kind = "fail" if error.code() in NEVER_SENT else "info"
                self.history.write(kind, "send", partition, value)

        return on_delivery

    def fill(self, producer):
        options = self.options
        before = self.reported
        pause = self.random.random() * MAX_OPEN_SECONDS
        count = self.random.randint(1, MAX_SENDS)
        for sent in range(count):
            partition = self.random.randrange(options.partitions)
            value = "%s-%d" % (options.process, self.number)
            self.history.write("invoke", "send", partition, value)
            self.number += 1
            producer.produce(
                options.topic,
                payload(value, options.value_bytes),
                partition=partition,
                on_delivery=self.report_of(partition, value),
            )
            # Some open long enough for faults to come between.
            producer.poll(pause if sent == count // 2 else 0)
        # librdkafka fails when it is to abort what the coordinator does not know of yet.
        end = time.monotonic() + CALL_SECONDS
        while self.reported == before and time.monotonic() < end:
            producer.poll(0.01)

    def run(self):
        options = self.options
        create_topic(options, options.topic)
        start = time.monotonic()
        while not is_asked_to_stop():
            ahead = self.number / options.rate - (time.monotonic() - start)
            if ahead > 0:
                time.sleep(min(ahead, 0.1))
                continue
            # What fell due during a fault is not made up for.
            start = max(start, time.monotonic() - self.number / options.rate - 1)
            is_kept = self.random.randrange(10) >= ABORTED_OF_TEN
            self.transactions.run_one(self.fill, is_kept)
            self.transactions.tell()
        self.history.flush(force=True)
        self.transactions.tell()
        print("in doubt", 0, flush=True)
