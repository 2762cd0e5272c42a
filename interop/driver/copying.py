"""Copy loops: read, send, and commit the group's place, all in one transaction."""

import os
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from recording import READING, History, create_topic, is_asked_to_stop, settle_positions
from transacting import CALL_SECONDS, Transactions

MAX_BATCH = 500
# librdkafka's sending of offsets forgets its time-out when the coordinator it remembers has left
# the metadata meanwhile (its issues 5456 and 5511): it may then never return.
HANG_SECONDS = CALL_SECONDS + 3
REPORT_SECONDS = 0.2


class Copying:
    """A member of a group that copies each message to the same partition of another topic."""

    def __init__(self, options):
        self.options = options
        self.history = History(options)
        self.transactions = Transactions(options, self.history)
        # What was read before the partitions changed is somebody else's to copy now.
        self.is_moved = False
        self.next_report = 0.0
        self.consumer = Consumer(
            {
                **READING,
                "bootstrap.servers": options.bootstrap,
                "group.id": options.to,
                "isolation.level": "read_committed",
            }
        )

    def on_assign(self, consumer, partitions):
        self.is_moved = True
        known = settle_positions(consumer, partitions)
        if known is not None:
            consumer.assign(known)

    def on_revoke(self, consumer, partitions):
        self.is_moved = True

    def rewind(self):
        """Back to what is committed; after a failure nobody else tells."""
        while not self.is_moved:
            known = settle_positions(self.consumer, self.consumer.assignment())
            try:
                for partition in known or []:
                    self.consumer.seek(partition)
                if known is not None:
                    return
            except KafkaException as error:
                print("rewind:", error, file=sys.stderr, flush=True)
            time.sleep(0.1)

    def copy(self, messages):
        options = self.options
        places = {message.partition(): message.offset() + 1 for message in messages}

        def fill(producer):
            for message in messages:
                producer.produce(options.to, message.value(), partition=message.partition())
                producer.poll(0)
            watch = threading.Timer(HANG_SECONDS, self.begin_again)
            watch.start()
            try:
                producer.send_offsets_to_transaction(
                    [TopicPartition(options.topic, *place) for place in places.items()],
                    self.consumer.consumer_group_metadata(),
                    CALL_SECONDS,
                )
            finally:
                watch.cancel()

        if self.transactions.run_one(fill):
            for partition, offset in places.items():
                print("position", options.first_key + partition, offset, flush=True)
        else:
            self.rewind()

    def begin_again(self):
        """As whoever runs such a program would: kill it, and start it again."""
        self.transactions.failed("send offsets", "librdkafka hangs")
        self.history.flush(force=True)
        errors = ["--earlier-errors", str(self.transactions.errors)]
        os.dup2(self.transactions.log.fileno(), 2)
        os.execv(sys.executable, [sys.executable, *sys.argv, *errors])

    def run(self):
        options = self.options
        create_topic(options, options.to)
        self.transactions.opened()
        self.consumer.subscribe(
            [options.topic], on_assign=self.on_assign, on_revoke=self.on_revoke
        )
        while not is_asked_to_stop():
            self.is_moved = False
            messages = self.consumer.consume(MAX_BATCH, 0.1)
            messages = [message for message in messages if message.error() is None]
            if self.is_moved and messages:
                self.is_moved = False
                self.rewind()
            elif messages:
                self.copy(messages)
            if time.monotonic() >= self.next_report:
                self.next_report = time.monotonic() + REPORT_SECONDS
                self.transactions.tell()
        self.history.flush(force=True)
        self.transactions.tell()
        self.consumer.close()
