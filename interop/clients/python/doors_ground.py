"""What cases of several protocols want of Kafka's side."""

import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from report import BOOTSTRAP, name_of

SERVERS = {"bootstrap.servers": BOOTSTRAP}


def topic(partitions=1):
    name = name_of("doors")
    admin = AdminClient(SERVERS)
    admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=-1)])[name].result(20)
    return name


def topics():
    return set(AdminClient(SERVERS).list_topics(timeout=10).topics)


def producer(**more):
    return Producer({**SERVERS, "linger.ms": 1, **more})


def send(sender, name, *records):
    failures = []
    for record in records:
        sender.produce(name, **record, on_delivery=lambda error, _: error and failures.append(error))
    assert sender.flush(30) == 0, "not all were answered"
    assert not failures, failures


def produce(name, *records, **more):
    send(producer(**more), name, *records)


def read(name, count, offset=0, partition=0, **more):
    """`count` messages from an offset on."""
    reader = Consumer({**SERVERS, "group.id": name_of("doors"), "enable.auto.commit": False, **more})
    reader.assign([TopicPartition(name, partition, offset)])
    messages = []
    end = time.monotonic() + 20
    while len(messages) < count:
        assert time.monotonic() < end, "%d of %d records" % (len(messages), count)
        message = reader.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        messages.append(message)
    reader.close()
    return messages
