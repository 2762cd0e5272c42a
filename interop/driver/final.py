"""The reader of everything at the end."""

import sys
import time

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from consuming import from_the_beginning
from recording import RECONNECT, History, value_of


def ends(admin, options, isolation):
    """Last offset of each partition, as readers at that isolation are told."""
    asked = {
        TopicPartition(options.topic, it): OffsetSpec.latest() for it in range(options.partitions)
    }
    answers = admin.list_offsets(asked, isolation_level=isolation, request_timeout=10)
    return {it.partition: answer.result().offset for it, answer in answers.items()}


def wait_for_open_transactions(options, end):
    """Until nothing is open any more: what a producer that is gone left open ends in time."""
    admin = AdminClient({"bootstrap.servers": options.bootstrap, **RECONNECT})
    lack = None
    while time.monotonic() < end:
        try:
            all_ends = ends(admin, options, IsolationLevel.READ_UNCOMMITTED)
            stable = ends(admin, options, IsolationLevel.READ_COMMITTED)
            lack = {p: (stable[p], end) for p, end in all_ends.items() if stable[p] < end}
            if not lack:
                return
        except KafkaException as error:
            print("ends:", error, file=sys.stderr, flush=True)
        time.sleep(0.1)
    sys.exit("a transaction stays open: partition: (stable, end) %s" % lack)


def read_everything(options):
    """From offset 0 to the end of every partition, and at least as far as `--until` says."""
    end = time.monotonic() + options.limit_seconds
    wait_for_open_transactions(options, end)
    history = History(options)
    consumer = Consumer(
        {
            **RECONNECT,
            "bootstrap.servers": options.bootstrap,
            "group.id": options.topic + "-" + options.process,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    partitions = range(options.partitions)
    wanted = {partition: -1 for partition in partitions}
    for pair in filter(None, options.until.split(",")):
        key, offset = pair.split(":")
        wanted[int(key) - options.first_key] = int(offset)
    consumer.assign(from_the_beginning(options))
    for partition in partitions:
        if options.as_copies:
            history.write("invoke", "copy", partition)
        else:
            history.write("ok", "assign", partition, offset=0)
    action = "copy" if options.as_copies else "poll"
    got = {partition: -1 for partition in partitions}
    ended = set()
    while len(ended) < len(partitions):
        if time.monotonic() > end:
            print("read up to", got, "of", wanted, file=sys.stderr, flush=True)
            break
        for message in consumer.consume(1000, 0.2):
            partition = message.partition()
            if message.error() is None:
                history.write("ok", action, partition, value_of(message.value()), message.offset())
                got[partition] = message.offset()
                ended.discard(partition)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                if got[partition] >= wanted[partition]:
                    ended.add(partition)
    history.flush(force=True)
    consumer.close()
