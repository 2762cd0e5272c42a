"""The cases of interop/clients/CASES.md with confluent-kafka-python (librdkafka)."""

import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from report import BOOTSTRAP, CODECS, eventually, name_of, refused, run

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def topic(partitions=1, config=None):
    name = name_of("confluent")
    new = NewTopic(name, num_partitions=partitions, replication_factor=-1, config=config or {})
    admin.create_topics([new], request_timeout=20)[name].result()
    eventually(lambda: len(admin.list_topics(name, 10).topics[name].partitions) == partitions)
    return name


def producer(**more):
    return Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 1, **more})


def consumer(group, **more):
    return Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            **more,
        }
    )


def send(name, values, partition=0, **more):
    """Sends and gives the offsets."""
    offsets = []

    def told(error, message):
        if error is not None:
            raise KafkaException(error)
        offsets.append(message.offset())

    sender = producer(**more)
    for value in values:
        sender.produce(name, value, partition=partition, on_delivery=told)
    assert sender.flush(30) == 0
    return offsets


def poll(reader, count, seconds=30.0):
    messages = []
    end = time.monotonic() + seconds
    while len(messages) < count and time.monotonic() < end:
        message = reader.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        messages.append(message)
    assert len(messages) == count, "%d of %d messages" % (len(messages), count)
    return messages


def read(name, count, partition=0, offset=0, **more):
    reader = consumer(name_of("read"), **more)
    reader.assign([TopicPartition(name, partition, offset)])
    messages = poll(reader, count)
    reader.close()
    return messages


def values(messages):
    return [message.value() for message in messages]


def create_topic():
    name = topic(3)
    new = NewTopic(name, num_partitions=3, replication_factor=-1)
    refused(lambda: admin.create_topics([new])[name].result(), "TOPIC_ALREADY_EXISTS")


def describe_topic():
    name = topic(2)
    from confluent_kafka import TopicCollection

    found = admin.describe_topics(TopicCollection([name]))[name].result()
    assert len(found.partitions) == 2 and found.partitions[0].leader is not None


def delete_topic():
    name = topic()
    admin.delete_topics([name])[name].result()
    eventually(lambda: name not in admin.list_topics(timeout=10).topics)
    refused(lambda: admin.delete_topics([name])[name].result(), "UNKNOWN_TOPIC_OR_PART")


def create_partitions():
    name = topic(1)
    admin.create_partitions([NewPartitions(name, 3)])[name].result()
    eventually(lambda: len(admin.list_topics(name, 10).topics[name].partitions) == 3)
    call = admin.create_partitions([NewPartitions(name, 2)])
    refused(lambda: call[name].result(), "INVALID_PARTITIONS")


def auto_create_topic():
    name = name_of("auto")
    assert send(name, [b"first"], partition=-1) == [0]


def codec(kind):
    def case():
        name = topic()
        sent = [b"%d " % number + b"text " * 40 for number in range(300)]
        assert send(name, sent, **{"compression.type": kind}) == list(range(300))
        assert values(read(name, 300)) == sent

    return case


def keys_and_headers():
    name = topic()
    sender = producer()
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("empty", b"")]
    sender.produce(name, b"v", b"k", headers=headers, partition=0)
    sender.produce(name, None, b"tombstone", partition=0)
    sender.produce(name, b"", None, partition=0)
    assert sender.flush(30) == 0
    one, two, three = read(name, 3)
    assert (one.key(), one.value(), one.headers()) == (b"k", b"v", headers)
    assert (two.key(), two.value()) == (b"tombstone", None)
    assert three.key() is None and not three.value()


def timestamps():
    name = topic()
    sender = producer()
    for number in range(3):
        sender.produce(name, b"x", partition=0, timestamp=1_700_000_000_000 + number * 1000)
    assert sender.flush(30) == 0
    assert read(name, 3)[1].timestamp()[1] == 1_700_000_001_000
    reader = consumer(name_of("times"))
    found = reader.offsets_for_times([TopicPartition(name, 0, 1_700_000_000_500)], 10)
    assert found[0].offset == 1, found
    found = reader.offsets_for_times([TopicPartition(name, 0, 1_800_000_000_000)], 10)
    assert found[0].offset == -1, found
    reader.close()


def watermarks():
    name = topic()
    send(name, [b"x"] * 7)
    reader = consumer(name_of("marks"))
    assert reader.get_watermark_offsets(TopicPartition(name, 0), 10) == (0, 7)
    reader.close()
    asked = {TopicPartition(name, 0): OffsetSpec.latest()}
    assert list(admin.list_offsets(asked).values())[0].result().offset == 7


def seek():
    name = topic()
    send(name, [b"%d" % number for number in range(10)])
    reader = consumer(name_of("seek"))
    reader.assign([TopicPartition(name, 0, 0)])
    assert values(poll(reader, 2)) == [b"0", b"1"]
    reader.seek(TopicPartition(name, 0, 8))
    assert values(poll(reader, 2)) == [b"8", b"9"]
    reader.close()


def out_of_range_resets():
    name = topic()
    send(name, [b"a", b"b"])
    assert values(read(name, 2, offset=500)) == [b"a", b"b"]


def large_message():
    name = topic()
    big = bytes(900_000)
    send(name, [big])
    assert values(read(name, 1)) == [big]
    sender = {"message.max.bytes": 3_000_000}
    refused(lambda: send(name, [bytes(1_500_000)], **sender), "MSG_SIZE_TOO_LARGE")


def group_commit_resume():
    name, group = topic(), name_of("group")
    send(name, [b"%d" % number for number in range(10)])
    first = consumer(group)
    first.subscribe([name])
    assert len(poll(first, 10)) == 10
    first.commit(offsets=[TopicPartition(name, 0, 4)], asynchronous=False)
    first.close()
    second = consumer(group)
    second.subscribe([name])
    assert values(poll(second, 6))[0] == b"4"
    assert second.committed([TopicPartition(name, 0)], 10)[0].offset == 4
    second.close()


def two_members(**more):
    name, group = topic(4), name_of("group")
    first, second = consumer(group, **more), consumer(group, **more)
    first.subscribe([name])
    eventually(lambda: (first.poll(0.1), len(first.assignment()) == 4)[1], 40, 0)
    second.subscribe([name])

    def shared():
        first.poll(0.1)
        second.poll(0.1)
        return len(first.assignment()) == 2 and len(second.assignment()) == 2

    eventually(shared, 40, 0)
    second.close()
    eventually(lambda: (first.poll(0.1), len(first.assignment()) == 4)[1], 40, 0)
    first.close()


def group_cooperative():
    two_members(**{"partition.assignment.strategy": "cooperative-sticky"})


def group_new_protocol():
    name, group = topic(2), name_of("group")
    send(name, [b"a", b"b"])
    reader = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
        }
    )
    reader.subscribe([name])
    assert values(poll(reader, 2)) == [b"a", b"b"]
    reader.close()


def new_protocol_consumer(group):
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "group.protocol": "consumer",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    return Consumer(settings)


def rolling(before, after):
    """Members are replaced one by one by those of the other protocol, while messages come."""
    name, group = topic(4), name_of("group")
    members, seen, sent = [], {}, 0

    def read_on():
        for member in members:
            message = member.poll(0.05)
            if message is not None:
                assert message.error() is None, message.error()
                seen[message.value()] = seen.get(message.value(), 0) + 1
                member.commit(message)

    def shared():
        read_on()
        owned = [(it.topic, it.partition) for member in members for it in member.assignment()]
        return sorted(owned) == [(name, at) for at in range(4)] and all(
            member.assignment() for member in members
        )

    def send_more():
        nonlocal sent
        for partition in range(4):
            send(name, [b"%d" % (sent + number) for number in range(5)], partition)
            sent += 5
        eventually(lambda: (read_on(), len(seen) == sent)[1], 60, 0)

    for make in (before, before, after, after):
        if len(members) == 2:
            members.pop(0).close()
            eventually(shared, 60, 0)
            send_more()
        member = make(group)
        member.subscribe([name])
        members.append(member)
        eventually(shared, 60, 0)
        send_more()
    for member in members:
        member.close()
    assert all(count == 1 for count in seen.values()), seen


def group_rolling_upgrade():
    rolling(consumer, new_protocol_consumer)


def group_rolling_downgrade():
    rolling(new_protocol_consumer, consumer)


def static_member():
    name, group = topic(2), name_of("group")
    send(name, [b"a"])
    for _ in range(2):
        reader = consumer(group, **{"group.instance.id": "one"})
        reader.subscribe([name])
        assert values(poll(reader, 1)) == [b"a"]
        reader.close()


def group_admin():
    name, group = topic(), name_of("group")
    send(name, [b"a", b"b"])
    reader = consumer(group)
    reader.subscribe([name])
    poll(reader, 2)
    reader.commit(asynchronous=False)
    found = admin.describe_consumer_groups([group])[group].result()
    assert found.state.name == "STABLE" and len(found.members) == 1, found.state
    assert found.members[0].assignment.topic_partitions[0].topic == name
    refused(lambda: admin.delete_consumer_groups([group])[group].result(), "NON_EMPTY_GROUP")
    reader.close()
    listed = admin.list_consumer_groups().result().valid
    assert group in [one.group_id for one in listed]
    eventually(
        lambda: admin.describe_consumer_groups([group])[group].result().state.name == "EMPTY"
    )
    asked = [ConsumerGroupTopicPartitions(group)]
    offsets = admin.list_consumer_group_offsets(asked)[group].result()
    assert offsets.topic_partitions[0].offset == 2
    moved = [ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 1)])]
    admin.alter_consumer_group_offsets(moved)[group].result()
    assert admin.list_consumer_group_offsets(asked)[group].result().topic_partitions[0].offset == 1
    admin.delete_consumer_groups([group])[group].result()
    refused(lambda: admin.delete_consumer_groups([group])[group].result(), "GROUP_ID_NOT_FOUND")


def idempotent_producer():
    name = topic()
    sent = [b"%d" % number for number in range(500)]
    send(name, sent, **{"enable.idempotence": True})
    assert values(read(name, 500)) == sent


def transaction():
    name = topic()
    sender = producer(**{"transactional.id": name_of("txn")})
    sender.init_transactions(20)
    for value, is_kept in [(b"a", True), (b"b", False), (b"c", True)]:
        sender.begin_transaction()
        sender.produce(name, value, partition=0)
        sender.flush(20)
        sender.commit_transaction(20) if is_kept else sender.abort_transaction(20)
    assert values(read(name, 2)) == [b"a", b"c"]
    every = read(name, 3, **{"isolation.level": "read_uncommitted"})
    assert values(every) == [b"a", b"b", b"c"]


def transaction_offsets():
    name, group = topic(), name_of("group")
    send(name, [b"1", b"2"])
    reader = consumer(group)
    reader.subscribe([name])
    poll(reader, 2)
    sender = producer(**{"transactional.id": name_of("txn")})
    sender.init_transactions(20)
    for is_kept in [False, True]:
        sender.begin_transaction()
        sender.produce(name, b"out", partition=0)
        sender.send_offsets_to_transaction(
            [TopicPartition(name, 0, 2)], reader.consumer_group_metadata(), 20
        )
        sender.commit_transaction(20) if is_kept else sender.abort_transaction(20)
        expected = 2 if is_kept else -1001
        assert reader.committed([TopicPartition(name, 0)], 10)[0].offset == expected
    reader.close()


def transaction_fencing():
    name, txn = topic(), name_of("txn")
    old, new = producer(**{"transactional.id": txn}), producer(**{"transactional.id": txn})
    old.init_transactions(20)
    old.begin_transaction()
    old.produce(name, b"old", partition=0)
    old.flush(20)
    new.init_transactions(20)
    refused(lambda: old.commit_transaction(20), "FENCED", "INVALID_PRODUCER_EPOCH")
    new.begin_transaction()
    new.produce(name, b"new", partition=0)
    new.commit_transaction(20)
    assert values(read(name, 1)) == [b"new"]


def open_transaction_hides():
    name = topic()
    sender = producer(**{"transactional.id": name_of("txn")})
    sender.init_transactions(20)
    sender.begin_transaction()
    sender.produce(name, b"open", partition=0)
    sender.flush(20)
    send(name, [b"plain"])
    asked = {TopicPartition(name, 0): OffsetSpec.latest()}
    level = IsolationLevel.READ_COMMITTED
    stable = admin.list_offsets(asked, isolation_level=level)
    assert list(stable.values())[0].result().offset == 0
    sender.commit_transaction(20)
    assert values(read(name, 2)) == [b"open", b"plain"]


def topic_configs():
    name = topic(config={"retention.ms": "3600000"})
    resource = ConfigResource(ResourceType.TOPIC, name)
    found = admin.describe_configs([resource])[resource].result()
    assert found["retention.ms"].value == "3600000"
    assert "cleanup.policy" in found and "max.message.bytes" in found
    entry = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin.incremental_alter_configs([change])[change].result()
    eventually(
        lambda: admin.describe_configs([resource])[resource].result()["retention.ms"].value
        == "7200000"
    )
    bad = ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[bad])
    refused(lambda: admin.incremental_alter_configs([change])[change].result(), "INVALID_CONFIG")


def delete_records():
    name = topic()
    send(name, [b"%d" % number for number in range(5)])
    result = admin.delete_records([TopicPartition(name, 0, 3)])
    assert list(result.values())[0].result().low_watermark == 3
    assert values(read(name, 2, offset=3)) == [b"3", b"4"]


def describe_cluster():
    found = admin.describe_cluster().result()
    assert found.cluster_id and found.nodes and found.controller


run(
    confluent_kafka.__version__,
    [
        ("create-topic", create_topic),
        ("describe-topic", describe_topic),
        ("delete-topic", delete_topic),
        ("create-partitions", create_partitions),
        ("auto-create-topic", auto_create_topic),
        *[("codec-" + kind, codec(kind)) for kind in CODECS],
        ("keys-and-headers", keys_and_headers),
        ("timestamps", timestamps),
        ("watermarks", watermarks),
        ("seek", seek),
        ("out-of-range-resets", out_of_range_resets),
        ("large-message", large_message),
        ("group-commit-resume", group_commit_resume),
        ("group-two-members", two_members),
        ("group-cooperative", group_cooperative),
        ("group-new-protocol", group_new_protocol),
        ("group-rolling-upgrade", group_rolling_upgrade),
        ("group-rolling-downgrade", group_rolling_downgrade),
        ("group-static-member", static_member),
        ("group-admin", group_admin),
        ("idempotent-producer", idempotent_producer),
        ("transaction", transaction),
        ("transaction-offsets", transaction_offsets),
        ("transaction-fencing", transaction_fencing),
        ("transaction-hides-while-open", open_transaction_hides),
        ("topic-configs", topic_configs),
        ("delete-records", delete_records),
        ("describe-cluster", describe_cluster),
    ],
)
