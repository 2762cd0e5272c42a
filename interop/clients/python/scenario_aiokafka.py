"""The cases of interop/clients/CASES.md with aiokafka."""

import asyncio
import contextlib

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata
from report import BOOTSTRAP, CODECS, name_of, run_async

SERVERS = BOOTSTRAP.split(",")


@contextlib.asynccontextmanager
async def admin():
    client = AIOKafkaAdminClient(bootstrap_servers=SERVERS)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def check_codes(entries):
    """Raises the first error of entries that each begin with a name and a code."""
    for entry in entries:
        if entry[1]:
            raise for_code(entry[1])(entry[0])


async def eventually(check, seconds=30.0):
    """What `check` returns once that is true; its client retries nothing for administrators."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        value = await check()
        if value:
            return value
        assert asyncio.get_running_loop().time() < end, "not within %s s" % seconds
        await asyncio.sleep(0.15)


async def refused(call, name):
    try:
        await call
    except Exception as error:  # its errors share no base class of their own
        told = "%s %s" % (type(error).__name__, error)
        assert name in told, "refused otherwise: " + told
        return
    raise AssertionError("not refused with " + name)


async def create(client, name, partitions=1, config=None):
    # Its check refuses the -1 that stands for what the broker has set.
    new = NewTopic(name, partitions, 1, topic_configs=config or {})
    check_codes((await client.create_topics([new], timeout_ms=20_000)).topic_errors)


async def topic(partitions=1, config=None):
    name = name_of("aiokafka")
    async with admin() as client:
        await create(client, name, partitions, config)

        async def is_there():
            [found] = await client.describe_topics([name])
            return len(found["partitions"]) == partitions

        await eventually(is_there)
    return name


@contextlib.asynccontextmanager
async def producer(**more):
    async with AIOKafkaProducer(bootstrap_servers=SERVERS, **more) as made:
        yield made


def consumer(*topics, **more):
    options = {
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "session_timeout_ms": 6000,
        "heartbeat_interval_ms": 500,
        "metadata_max_age_ms": 1000,
        **more,
    }
    return AIOKafkaConsumer(*topics, bootstrap_servers=SERVERS, **options)


async def send(name, values, partition=0, **more):
    """Sends and gives the offsets."""
    async with producer(**more) as sender:
        waiting = [await sender.send(name, value, partition=partition) for value in values]
        return [(await one).offset for one in waiting]


async def poll(reader, count, seconds=30.0):
    messages = []
    end = asyncio.get_running_loop().time() + seconds
    while len(messages) < count and asyncio.get_running_loop().time() < end:
        for batch in (await reader.getmany(timeout_ms=200, max_records=count)).values():
            messages.extend(batch)
    assert len(messages) == count, "%d of %d messages" % (len(messages), count)
    return messages


async def read(name, count, offset=0, **more):
    async with consumer(**more) as reader:
        place = TopicPartition(name, 0)
        reader.assign([place])
        reader.seek(place, offset)
        return await poll(reader, count)


def values(messages):
    return [message.value for message in messages]


async def create_topic():
    name = await topic(3)
    async with admin() as client:
        await refused(create(client, name, 3), "TopicAlreadyExists")


async def describe_topic():
    name = await topic(2)
    async with admin() as client:
        [found] = await client.describe_topics([name])
        assert [one["leader"] >= 0 for one in found["partitions"]] == [True, True], found


async def delete_topic():
    name = await topic()
    async with admin() as client:
        check_codes((await client.delete_topics([name])).topic_error_codes)

        async def is_gone():
            return name not in await client.list_topics()

        await eventually(is_gone)
        again = (await client.delete_topics([name])).topic_error_codes
        assert again == [(name, 3)], again


async def create_partitions():
    name = await topic(1)
    async with admin() as client:
        await client.create_partitions({name: NewPartitions(3)})

        async def is_grown():
            [found] = await client.describe_topics([name])
            return len(found["partitions"]) == 3

        await eventually(is_grown)
        await refused(client.create_partitions({name: NewPartitions(2)}), "InvalidPartitions")


async def auto_create_topic():
    assert await send(name_of("auto"), [b"first"], partition=None) == [0]


def codec(kind):
    async def case():
        name = await topic()
        sent = [b"%d " % number + b"text " * 40 for number in range(300)]
        kind_of = None if kind == "none" else kind
        assert await send(name, sent, compression_type=kind_of) == list(range(300))
        assert values(await read(name, 300)) == sent

    return case


async def keys_and_headers():
    name = await topic()
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("empty", b"")]
    async with producer() as sender:
        await sender.send_and_wait(name, b"v", key=b"k", partition=0, headers=headers)
        await sender.send_and_wait(name, None, key=b"tombstone", partition=0)
        await sender.send_and_wait(name, b"", partition=0)
    one, two, three = await read(name, 3)
    assert (one.key, one.value, list(one.headers)) == (b"k", b"v", headers)
    assert (two.key, two.value) == (b"tombstone", None)
    assert (three.key, three.value) == (None, b"")


async def timestamps():
    name = await topic()
    async with producer() as sender:
        for number in range(3):
            at = 1_700_000_000_000 + number * 1000
            await sender.send_and_wait(name, b"x", partition=0, timestamp_ms=at)
    assert (await read(name, 3))[1].timestamp == 1_700_000_001_000
    place = TopicPartition(name, 0)
    async with consumer() as reader:
        reader.assign([place])
        found = await reader.offsets_for_times({place: 1_700_000_000_500})
        assert found[place].offset == 1, found
        found = await reader.offsets_for_times({place: 1_800_000_000_000})
        assert found[place] is None, found


async def watermarks():
    name = await topic()
    await send(name, [b"x"] * 7)
    place = TopicPartition(name, 0)
    async with consumer() as reader:
        assert await reader.beginning_offsets([place]) == {place: 0}
        assert await reader.end_offsets([place]) == {place: 7}


async def seek():
    name = await topic()
    await send(name, [b"%d" % number for number in range(10)])
    place = TopicPartition(name, 0)
    async with consumer() as reader:
        reader.assign([place])
        assert values(await poll(reader, 2)) == [b"0", b"1"]
        reader.seek(place, 8)
        assert values(await poll(reader, 2)) == [b"8", b"9"]
        await reader.seek_to_beginning(place)
        assert values(await poll(reader, 1)) == [b"0"]


async def out_of_range_resets():
    name = await topic()
    await send(name, [b"a", b"b"])
    assert values(await read(name, 2, offset=500)) == [b"a", b"b"]


async def large_message():
    name = await topic()
    big = bytes(900_000)
    await send(name, [big])
    assert values(await read(name, 1)) == [big]
    call = send(name, [bytes(1_500_000)], max_request_size=3_000_000)
    await refused(call, "MessageSizeTooLarge")


async def group_commit_resume():
    name, group = await topic(), name_of("group")
    place = TopicPartition(name, 0)
    await send(name, [b"%d" % number for number in range(10)])
    async with consumer(name, group_id=group) as first:
        assert len(await poll(first, 10)) == 10
        await first.commit({place: OffsetAndMetadata(4, "note")})
    async with consumer(name, group_id=group) as second:
        assert values(await poll(second, 6))[0] == b"4"
        assert await second.committed(place) == 4


def two_members(**more):
    async def case():
        name, group = await topic(4), name_of("group")
        async with consumer(name, group_id=group, **more) as first:

            def holds(*counts):
                async def check():
                    return [len(one.assignment()) for one in members] == list(counts)

                return check

            members = [first]
            await eventually(holds(4), 40)
            async with consumer(name, group_id=group, **more) as second:
                members.append(second)
                await eventually(holds(2, 2), 40)
            members.pop()
            await eventually(holds(4), 40)

    return case


async def static_member():
    name, group = await topic(2), name_of("group")
    await send(name, [b"a"])
    for _ in range(2):
        async with consumer(name, group_id=group, group_instance_id="one") as reader:
            assert values(await poll(reader, 1)) == [b"a"]


async def group_admin():
    name, group = await topic(), name_of("group")
    place = TopicPartition(name, 0)
    await send(name, [b"a", b"b"])
    async with admin() as client:

        async def state():
            [found] = (await client.describe_consumer_groups([group]))[0].groups
            return found[2], len(found[5])

        async with consumer(name, group_id=group) as reader:
            await poll(reader, 2)
            await reader.commit()
            assert await state() == ("Stable", 1), await state()

        async def is_empty():
            return await state() == ("Empty", 0)

        await eventually(is_empty)
        assert (group, "consumer") in [one[:2] for one in await client.list_consumer_groups()]
        offsets = await client.list_consumer_group_offsets(group)
        assert offsets[place].offset == 2, offsets


async def idempotent_producer():
    name = await topic()
    sent = [b"%d" % number for number in range(500)]
    await send(name, sent, enable_idempotence=True)
    assert values(await read(name, 500)) == sent


async def transaction():
    name = await topic()
    async with producer(transactional_id=name_of("txn")) as sender:
        for value, is_kept in [(b"a", True), (b"b", False), (b"c", True)]:
            await sender.begin_transaction()
            await sender.send_and_wait(name, value, partition=0)
            await (sender.commit_transaction() if is_kept else sender.abort_transaction())
    kept = await read(name, 2, isolation_level="read_committed")
    assert values(kept) == [b"a", b"c"]
    assert values(await read(name, 3)) == [b"a", b"b", b"c"]


async def transaction_offsets():
    name, group = await topic(), name_of("group")
    place = TopicPartition(name, 0)
    await send(name, [b"1", b"2"])
    async with (
        consumer(name, group_id=group) as reader,
        producer(transactional_id=name_of("txn")) as sender,
    ):
        await poll(reader, 2)

        async def is_committed():
            return await reader.committed(place) == 2

        for is_kept in [False, True]:
            await sender.begin_transaction()
            await sender.send_and_wait(name, b"out", partition=0)
            await sender.send_offsets_to_transaction({place: 2}, group)
            await (sender.commit_transaction() if is_kept else sender.abort_transaction())
            if is_kept:
                # A commit is answered before it is carried out, and this client asks for what is there.
                await eventually(is_committed)
            else:
                assert await reader.committed(place) is None


async def transaction_fencing():
    name, txn = await topic(), name_of("txn")
    async with producer(transactional_id=txn) as old:
        await old.begin_transaction()
        await old.send_and_wait(name, b"old", partition=0)
        async with producer(transactional_id=txn) as new:
            await refused(old.commit_transaction(), "ProducerFenced")
            async with new.transaction():
                await new.send_and_wait(name, b"new", partition=0)
    assert values(await read(name, 1, isolation_level="read_committed")) == [b"new"]


async def open_transaction_hides():
    name = await topic()
    place = TopicPartition(name, 0)
    async with producer(transactional_id=name_of("txn")) as sender:
        await sender.begin_transaction()
        await sender.send_and_wait(name, b"open", partition=0)
        await send(name, [b"plain"])
        async with consumer(isolation_level="read_committed") as reader:
            reader.assign([place])
            assert await reader.getmany(timeout_ms=1500) == {}
            assert reader.last_stable_offset(place) == 0
        await sender.commit_transaction()
    both = await read(name, 2, isolation_level="read_committed")
    assert values(both) == [b"open", b"plain"]


async def topic_configs():
    name = await topic(config={"retention.ms": "3600000"})
    async with admin() as client:

        async def ask():
            resource = ConfigResource(ConfigResourceType.TOPIC, name)
            [answer] = await client.describe_configs([resource])
            return {entry[0]: entry[1] for entry in answer.resources[0][4]}

        found = await ask()
        assert found["retention.ms"] == "3600000", found
        assert "cleanup.policy" in found and "max.message.bytes" in found
        change = {"retention.ms": "7200000"}
        [answer] = await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, change)])
        assert answer.resources[0][0] == 0, answer

        async def is_changed():
            return (await ask())["retention.ms"] == "7200000"

        await eventually(is_changed)
        change = {"retention.ms": "soon"}
        [answer] = await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, change)])
        assert for_code(answer.resources[0][0]).__name__ == "InvalidConfigurationError", answer


async def delete_records():
    name = await topic()
    await send(name, [b"%d" % number for number in range(5)])
    place = TopicPartition(name, 0)
    async with admin() as client:
        assert await client.delete_records({place: RecordsToDelete(3)}) == {place: 3}
    assert values(await read(name, 2, offset=3)) == [b"3", b"4"]


async def describe_cluster():
    async with admin() as client:
        found = await client.describe_cluster()
        assert found["cluster_id"] and found["brokers"] and found["controller_id"] is not None


asyncio.run(
    run_async(
        aiokafka.__version__,
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
            ("group-two-members", two_members()),
            (
                "group-sticky",
                two_members(partition_assignment_strategy=(StickyPartitionAssignor,)),
            ),
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
)
