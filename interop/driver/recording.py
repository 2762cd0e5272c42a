"""What all roles share: the file of events, values, topics, and how calls are insisted on."""

import json
import os
import random
import re
import select
import sys
import threading
import time

from confluent_kafka import KafkaError, KafkaException
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
PRODUCING = {
    **RECONNECT,
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 200,
    # A broker that stopped without closing its connections is given up after this.
    "request.timeout.ms": 3000,
    "topic.metadata.refresh.fast.interval.ms": 50,
    "queue.buffering.max.messages": 1000000,
    # A change of its epoch explains what is in the log twice.
    "debug": "eos",
    "log_level": 7,
}
READING = {
    **RECONNECT,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 500,
    "fetch.wait.max.ms": 100,
    "topic.metadata.refresh.interval.ms": 5000,
    # Which node a partition is read from, and who is asked for what the group's members share.
    "debug": "cgrp,broker,metadata,topic",
    "log_level": 7,
}
# Errors after which a message is certainly not in the log; all others leave it open.
NEVER_SENT = {KafkaError._PURGE_QUEUE, KafkaError.MSG_SIZE_TOO_LARGE}
# Kafka's verifiable producer sends these: its prefix and a number.
VERIFIABLE = re.compile(r"(\d+)\.(\d+)\Z")
# librdkafka has no call that tells these.
IDENTITY = re.compile(r"PID\{Id:(\d+),Epoch:(\d+)\}")


def payload(value, size):
    """The value, and filler that follows from it."""
    start = hash_of(value) % (len(NOISE) - size)
    return (value + " " + NOISE[start : start + size]).encode()


def hash_of(value):
    state = 0
    for byte in value.encode():
        state = (state * 31 + byte) & 0xFFFFFFFF
    return state


def value_of(body):
    """What was sent, or words for bytes that nobody sent."""
    text = (body or b"").decode("utf-8", "replace")
    value, _, filler = text.partition(" ")
    if filler and payload(value, len(filler)).decode() == text:
        return value
    verifiable = VERIFIABLE.match(text)
    if verifiable:
        return "v%s-%s" % verifiable.groups()
    return "damaged " + text[:64]


class History:
    """One file of events."""

    def __init__(self, options):
        mode = "a" if options.earlier_errors else "w"
        self.file = open(options.history, mode, buffering=1 << 16)
        self.head = '{"process":' + json.dumps(options.process) + ',"type":"'
        self.first_key = options.first_key
        self.next_flush = 0.0
        # Who notes identities does so beside whoever else writes.
        self.lock = threading.Lock()

    def write(self, kind, action, partition, value=None, offset=None, message_key=None):
        key = self.first_key + partition
        line = '%s%s","f":"%s","key":%d' % (self.head, kind, action, key)
        if value is not None:
            line += ',"value":' + json.dumps(value)
        if offset is not None and offset >= 0:
            line += ',"offset":%d' % offset
        if message_key is not None:
            line += ',"message_key":%d' % message_key
        with self.lock:
            self.file.write('%s,"time_ns":%d}\n' % (line, time.monotonic_ns()))

    def write_step(self, kind, action, rest=""):
        """Of a transaction or a producer; of no partition."""
        now_ns = time.monotonic_ns()
        line = '%s%s","f":"%s"%s,"time_ns":%d}\n'
        with self.lock:
            self.file.write(line % (self.head, kind, action, rest, now_ns))

    def flush(self, force=False):
        now = time.monotonic()
        if force or now >= self.next_flush:
            self.next_flush = now + 0.1
            with self.lock:
                self.file.flush()


def note_identities(history):
    """Notes each new id and epoch that a producer's log tells of; the log goes on to where it went.

    Not by the client's own call-back, which is silent while one of its calls blocks.
    """
    log = os.fdopen(os.dup(2), "w", buffering=1)
    out, into = os.pipe()
    os.dup2(into, 2)

    def follow():
        last = None
        for line in os.fdopen(out, errors="replace"):
            log.write(line)
            found = IDENTITY.search(line) if "Acquired" in line else None
            if found and found.groups() != last:
                last = found.groups()
                rest = ',"producer_id":%s,"epoch":%s' % last
                history.write_step("ok", "identity", rest)

    threading.Thread(target=follow, daemon=True).start()
    return log


def is_asked_to_stop():
    ready, _, _ = select.select([0], [], [], 0)
    return bool(ready) and os.read(0, 4096) == b""


def insist(call, seconds):
    """Calls again while the client says that this helps."""
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > end:
                raise


def create_topic(options, name, config=None):
    admin = AdminClient({"bootstrap.servers": options.bootstrap, **RECONNECT})
    topic = NewTopic(
        name,
        num_partitions=options.partitions,
        replication_factor=options.replication,
        config=config or {},
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


def settle_positions(consumer, partitions):
    """Committed offsets by name, and 0 where there are none; None when they are not to be had.

    Named, since librdkafka begins again at its first offset when the answer to its first
    ListOffsets comes to be "outdated" because the node it asked has died meanwhile.
    """
    try:
        known = consumer.committed(partitions, timeout=5)
    except KafkaException as error:
        print("committed offsets:", error, file=sys.stderr, flush=True)
        return None
    if any(partition.error is not None for partition in known):
        return None
    for partition in known:
        partition.offset = max(partition.offset, 0)
    return known
