"""Real clients that write down what they did: see interop/src/history/event.rs for the lines.

    history.py produce  sends numbered values to all partitions at a steady rate
    history.py consume  reads as a member of a group and commits
    history.py follow   reads every partition from offset 0 on, without a group
    history.py final    reads every partition from offset 0 to its end

Each works until its standard input ends, or, with `final`, until it has read everything.
"""

import argparse
import json
import os
import random
import select
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

REPORT_SECONDS = 0.02
COMMIT_SECONDS = 0.2
NOISE = random.Random(7).randbytes(1 << 17).hex()
RECONNECT = {
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "socket.connection.setup.timeout.ms": 2000,
    # A peer behind a dead link never answers: its requests end by this.
    "socket.timeout.ms": 5000,
    "log_level": 3,
}
# Errors after which a message is certainly not in the log; all others leave it open.
NEVER_SENT = {KafkaError._PURGE_QUEUE, KafkaError.MSG_SIZE_TOO_LARGE}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["produce", "consume", "follow", "final"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--process", required=True)
    parser.add_argument("--history", required=True)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--first-partition", type=int, default=0)
    parser.add_argument("--replication", type=int, default=-1)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--value-bytes", type=int, default=200)
    parser.add_argument("--limit-seconds", type=float, default=300.0)
    parser.add_argument("--until", default="", help="PARTITION:OFFSET,... that must be read")
    return parser.parse_args()


def payload(value, size):
    """The value, and filler that follows from it."""
    start = hash_of(value) % (len(NOISE) - size)
    return (value + " " + NOISE[start : start + size]).encode()


def hash_of(value):
    state = 0
    for byte in value.encode():
        state = (state * 31 + byte) & 0xFFFFFFFF
    return state


def value_of(message):
    """What was sent, or words for bytes that nobody sent."""
    text = (message.value() or b"").decode("utf-8", "replace")
    value, _, filler = text.partition(" ")
    if filler and payload(value, len(filler)).decode() == text:
        return value
    return "damaged " + text[:64]


class History:
    """One file of events."""

    def __init__(self, options):
        self.file = open(options.history, "w", buffering=1 << 16)
        self.head = '{"process":' + json.dumps(options.process) + ',"type":"'
        self.next_flush = 0.0

    def write(self, kind, action, key, value=None, offset=None):
        line = '%s%s","f":"%s","key":%d' % (self.head, kind, action, key)
        if value is not None:
            line += ',"value":' + json.dumps(value)
        if offset is not None and offset >= 0:
            line += ',"offset":%d' % offset
        self.file.write('%s,"time_ns":%d}\n' % (line, time.monotonic_ns()))

    def flush(self, force=False):
        now = time.monotonic()
        if force or now >= self.next_flush:
            self.next_flush = now + 0.1
            self.file.flush()


def is_asked_to_stop():
    ready, _, _ = select.select([0], [], [], 0)
    return bool(ready) and os.read(0, 4096) == b""


def create_topic(options):
    admin = AdminClient({"bootstrap.servers": options.bootstrap, **RECONNECT})
    topic = NewTopic(
        options.topic,
        num_partitions=options.partitions,
        replication_factor=options.replication,
    )
    end = time.monotonic() + options.limit_seconds
    while True:
        try:
            for future in admin.create_topics([topic], request_timeout=10).values():
                future.result()
            return
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            if time.monotonic() > end:
                raise
            print("create topic:", error, file=sys.stderr, flush=True)
            time.sleep(0.1)


class Producing:
    """An idempotent producer at a steady rate."""

    def __init__(self, options):
        self.options = options
        self.history = History(options)
        self.acked_by_key = [0] * options.partitions
        self.unsure = 0
        self.fatal = None
        self.next_report = 0.0
        self.producer = Producer(
            {
                "bootstrap.servers": options.bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "message.timeout.ms": 600000,
                "retry.backoff.ms": 20,
                "retry.backoff.max.ms": 200,
                # A broker that stopped without closing its connections is given up after this.
                "request.timeout.ms": 3000,
                "topic.metadata.refresh.fast.interval.ms": 50,
                "queue.buffering.max.messages": 1000000,
                "error_cb": self.on_error,
                **RECONNECT,
                # A change of its epoch explains what is in the log twice.
                "debug": "eos",
                "log_level": 7,
            }
        )

    def on_error(self, error):
        if error.fatal():
            self.fatal = error

    def report_of(self, key, value):
        def on_delivery(error, message):
            if error is None:
                self.acked_by_key[key - self.options.first_partition] += 1
                self.history.write("ok", "send", key, value, message.offset())
            elif error.code() in NEVER_SENT:
                self.history.write("fail", "send", key, value)
            else:
                self.unsure += 1
                print("unsure:", value, error, file=sys.stderr, flush=True)
                self.history.write("info", "send", key, value)

        return on_delivery

    def tell(self, force=False):
        now = time.monotonic()
        if force or now >= self.next_report:
            self.next_report = now + REPORT_SECONDS
            print("acked", min(self.acked_by_key), flush=True)
            self.history.flush()
        if self.fatal is not None:
            self.history.flush(force=True)
            print("fatal:", self.fatal, file=sys.stderr, flush=True)
            sys.exit(3)

    def run(self):
        options = self.options
        create_topic(options)
        number = 0
        start = time.monotonic()
        while not is_asked_to_stop():
            due = int((time.monotonic() - start) * options.rate) + 1
            # What fell due while the queue was full is not made up for.
            if due - number > options.rate:
                start += (due - number) / options.rate
            while number < due:
                key = options.first_partition + number % options.partitions
                value = "%s-%d" % (options.process, number)
                body = payload(value, options.value_bytes)
                try:
                    self.producer.produce(
                        options.topic, body, partition=key, on_delivery=self.report_of(key, value)
                    )
                except BufferError:
                    break
                self.history.write("invoke", "send", key, value)
                number += 1
            self.producer.poll(0.004)
            self.tell()
        end = time.monotonic() + options.limit_seconds
        while self.producer.flush(REPORT_SECONDS) > 0 and time.monotonic() < end:
            self.tell()
        self.tell(force=True)
        self.history.flush(force=True)
        print("in doubt", self.unsure + len(self.producer), flush=True)


class Consuming:
    """A member of a group."""

    def __init__(self, options):
        self.options = options
        self.history = History(options)
        self.positions = {}
        self.consumer = Consumer(
            {
                "bootstrap.servers": options.bootstrap,
                "group.id": options.topic,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 500,
                "fetch.wait.max.ms": 100,
                "topic.metadata.refresh.interval.ms": 5000,
                **RECONNECT,
            }
        )

    def on_assign(self, consumer, partitions):
        for partition in partitions:
            self.positions.pop(partition.partition, None)
            self.history.write("ok", "assign", partition.partition)
        # Named offsets, since librdkafka begins again at its first offset when the answer to its
        # first ListOffsets comes to be "outdated" because the node it asked has died meanwhile.
        try:
            known = consumer.committed(partitions, timeout=5)
        except KafkaException as error:
            print("committed offsets:", error, file=sys.stderr, flush=True)
            return
        if all(partition.error is None for partition in known):
            for partition in known:
                partition.offset = max(partition.offset, 0)
            consumer.assign(known)

    def on_revoke(self, consumer, partitions):
        self.positions = {}

    def commit(self):
        for key, offset in self.positions.items():
            self.history.write("invoke", "commit", key, offset=offset)
        offsets = [TopicPartition(self.options.topic, k, o) for k, o in self.positions.items()]
        try:
            outcome = self.consumer.commit(offsets=offsets, asynchronous=False)
            for partition in outcome:
                kind = "ok" if partition.error is None else "info"
                self.history.write(kind, "commit", partition.partition, offset=partition.offset)
        except KafkaException:
            for key, offset in self.positions.items():
                self.history.write("info", "commit", key, offset=offset)

    def run(self):
        is_member = self.options.role == "consume"
        if is_member:
            self.consumer.subscribe(
                [self.options.topic], on_assign=self.on_assign, on_revoke=self.on_revoke
            )
        else:
            self.consumer.assign(from_the_beginning(self.options, self.history))
        next_commit = time.monotonic() + COMMIT_SECONDS
        while not is_asked_to_stop():
            for message in self.consumer.consume(500, 0.1):
                if message.error() is not None:
                    continue
                key = message.partition()
                self.history.write("ok", "poll", key, value_of(message), message.offset())
                self.positions[key] = message.offset() + 1
            now = time.monotonic()
            if self.positions and now >= next_commit:
                next_commit = now + COMMIT_SECONDS
                for key, offset in self.positions.items():
                    print("position", key, offset, flush=True)
                if is_member:
                    self.commit()
                self.positions = {}
            self.history.flush()
        self.history.flush(force=True)
        self.consumer.close()


def from_the_beginning(options, history):
    """All partitions from offset 0 on."""
    keys = range(options.first_partition, options.first_partition + options.partitions)
    for key in keys:
        history.write("ok", "assign", key, offset=0)
    return [TopicPartition(options.topic, key, 0) for key in keys]


def read_everything(options):
    """From offset 0 to the end of every partition, and at least as far as `--until` says."""
    history = History(options)
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.topic + "-" + options.process,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            **RECONNECT,
        }
    )
    keys = range(options.first_partition, options.first_partition + options.partitions)
    wanted = {key: -1 for key in keys}
    for pair in filter(None, options.until.split(",")):
        key, offset = pair.split(":")
        wanted[int(key)] = int(offset)
    consumer.assign(from_the_beginning(options, history))
    got = {key: -1 for key in keys}
    ended = set()
    end = time.monotonic() + options.limit_seconds
    while len(ended) < len(keys):
        if time.monotonic() > end:
            print("read up to", got, "of", wanted, file=sys.stderr, flush=True)
            break
        for message in consumer.consume(1000, 0.2):
            key = message.partition()
            if message.error() is None:
                history.write("ok", "poll", key, value_of(message), message.offset())
                got[key] = message.offset()
                ended.discard(key)
            elif message.error().code() == KafkaError._PARTITION_EOF and got[key] >= wanted[key]:
                ended.add(key)
    history.flush(force=True)
    consumer.close()


def main():
    options = arguments()
    if options.role == "produce":
        Producing(options).run()
    elif options.role in ("consume", "follow"):
        Consuming(options).run()
    else:
        read_everything(options)


main()
