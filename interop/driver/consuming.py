"""Readers that go along."""

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from recording import (
    COMMIT_SECONDS,
    READING,
    History,
    is_asked_to_stop,
    settle_positions,
    value_of,
)


class Consuming:
    """A member of a group, or a reader without one."""

    def __init__(self, options):
        self.options = options
        self.history = History(options)
        self.positions = {}
        self.consumer = Consumer(
            {**READING, "bootstrap.servers": options.bootstrap, "group.id": options.topic}
        )

    def on_assign(self, consumer, partitions):
        for partition in partitions:
            self.positions.pop(partition.partition, None)
            self.history.write("ok", "assign", partition.partition)
        known = settle_positions(consumer, partitions)
        if known is not None:
            consumer.assign(known)

    def on_revoke(self, consumer, partitions):
        self.positions = {}

    def commit(self):
        for partition, offset in self.positions.items():
            self.history.write("invoke", "commit", partition, offset=offset)
        offsets = [TopicPartition(self.options.topic, p, o) for p, o in self.positions.items()]
        try:
            outcome = self.consumer.commit(offsets=offsets, asynchronous=False)
            for it in outcome:
                kind = "ok" if it.error is None else "info"
                self.history.write(kind, "commit", it.partition, offset=it.offset)
        except KafkaException:
            for partition, offset in self.positions.items():
                self.history.write("info", "commit", partition, offset=offset)

    def run(self):
        options = self.options
        is_member = options.role == "consume"
        if is_member:
            self.consumer.subscribe(
                [options.topic], on_assign=self.on_assign, on_revoke=self.on_revoke
            )
        else:
            self.consumer.assign(from_the_beginning(options))
            for partition in range(options.partitions):
                self.history.write("ok", "assign", partition, offset=0)
        next_commit = time.monotonic() + COMMIT_SECONDS
        while not is_asked_to_stop():
            for message in self.consumer.consume(500, 0.1):
                if message.error() is not None:
                    continue
                partition = message.partition()
                self.history.write("ok", "poll", partition, value_of(message.value()), message.offset())
                self.positions[partition] = message.offset() + 1
            now = time.monotonic()
            if self.positions and now >= next_commit:
                next_commit = now + COMMIT_SECONDS
                for partition, offset in self.positions.items():
                    print("position", options.first_key + partition, offset, flush=True)
                if is_member:
                    self.commit()
                self.positions = {}
            self.history.flush()
        self.history.flush(force=True)
        self.consumer.close()


def from_the_beginning(options):
    """All partitions from offset 0 on."""
    return [TopicPartition(options.topic, it, 0) for it in range(options.partitions)]
