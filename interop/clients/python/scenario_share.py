"""Share groups (KIP-932) with confluent-kafka-python's ShareConsumer (librdkafka): the cases of
interop/clients/CASES.md that name it."""

import collections
import time

import confluent_kafka
from confluent_kafka import AcknowledgeType, Consumer, KafkaException, Producer, ShareConsumer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from report import BOOTSTRAP, eventually, name_of, refused, run

LIMIT_SECONDS = 60
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def group(partitions=1, **settings):
    """A topic and a share group of one name, which begins at the topic's start."""
    name = name_of("share")
    admin.create_topics([NewTopic(name, partitions, -1)])[name].result(LIMIT_SECONDS)
    settings = {"share_auto_offset_reset": "earliest", **settings}
    entries = [
        ConfigEntry(key.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
        for key, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.GROUP, name, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(LIMIT_SECONDS)
    return name


def send(name, values, **more):
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **more})
    if "transactional.id" in more:
        producer.init_transactions(LIMIT_SECONDS)
        producer.begin_transaction()
    for value in values:
        producer.produce(name, value)
    assert producer.flush(LIMIT_SECONDS) == 0
    return producer


def consumer(name, mode="implicit", **more):
    # It says each time that it is a preview.
    settings = {"bootstrap.servers": BOOTSTRAP, "group.id": name, "log_level": 3, **more}
    made = ShareConsumer({**settings, "share.acknowledgement.mode": mode})
    made.subscribe([name])
    return made


def some(one, seconds=LIMIT_SECONDS):
    """Polls until there is something."""

    def poll():
        messages = list(one.poll(0.5))
        errors = [message.error() for message in messages if message.error()]
        assert not errors, errors
        return messages

    return eventually(poll, seconds, 0)


def nothing(one, seconds=2.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = list(one.poll(0.5))
        assert not got, [message.value() for message in got]


def committed(one):
    """Commits, and fails where a partition's acknowledgements were refused."""
    told = one.commit_sync(20.0)
    failed = {str(place): str(error) for place, error in told.items() if error is not None}
    assert not failed, failed
    return told


def collect(one, count):
    got = []
    while len(got) < count:
        got += some(one)
    return got


def implicit():
    name = group(3)
    send(name, [b"%d" % number for number in range(1000)])
    seen = collections.Counter()
    with consumer(name) as one, consumer(name) as two:

        def all_of_them():
            for each in one, two:
                seen.update(message.value() for message in each.poll(0.2))
            return len(seen) >= 1000

        eventually(all_of_them, LIMIT_SECONDS, 0)
        committed(one)
        committed(two)
    assert set(seen.values()) == {1}, seen.most_common(3)
    with consumer(name) as late:
        nothing(late)


def explicit():
    """Accepted and rejected ones are done with, a released one comes again, and says how often."""
    name = group()
    send(name, [b"accept", b"release", b"reject"])
    ways = {b"accept": AcknowledgeType.ACCEPT, b"release": AcknowledgeType.RELEASE, b"reject": AcknowledgeType.REJECT}
    with consumer(name, "explicit") as one:
        for message in collect(one, 3):
            one.acknowledge(message, ways[message.value()])
        assert len(committed(one)) == 1
        again = some(one)
        assert [message.value() for message in again] == [b"release"]
        if hasattr(again[0], "delivery_count"):
            assert again[0].delivery_count() == 2, again[0].delivery_count()
        one.acknowledge_offset(name, 0, again[0].offset(), AcknowledgeType.ACCEPT)
        committed(one)
        nothing(one)


def unsettled():
    """Nothing more is given to one who has not said what becomes of what it has."""
    name = group()
    send(name, [b"0"])
    with consumer(name, "explicit") as one:
        got = some(one)
        refused(lambda: one.poll(0.1), "IllegalState", "_STATE")
        one.acknowledge(got[0])
        refused(lambda: one.acknowledge_offset(name, 0, 77), "IllegalState", "_STATE")
        committed(one)


def delivery_limit():
    name = group(share_delivery_count_limit=3)
    send(name, [b"poison", b"good"])
    times = collections.Counter()
    with consumer(name, "explicit") as one:
        end = time.monotonic() + 12
        while time.monotonic() < end and times[b"poison"] < 4:
            for message in one.poll(0.5):
                times[message.value()] += 1
                good = message.value() == b"good"
                one.acknowledge(message, AcknowledgeType.ACCEPT if good else AcknowledgeType.RELEASE)
            one.commit_sync(20.0)
    assert times == {b"poison": 3, b"good": 1}, times


def lock_ends():
    """What nobody settles in time is another one's, and settling it then is refused."""
    name = group(share_record_lock_duration_ms=15000)
    send(name, [b"0"])
    with consumer(name, "explicit") as one, consumer(name, "explicit") as two:
        held = some(one)
        assert not list(two.poll(3.0))
        taken = some(two)
        assert taken[0].offset() == held[0].offset()
        one.acknowledge(held[0])
        late = one.commit_sync(20.0)
        assert any(error is not None for error in late.values()), late
        two.acknowledge(taken[0])
        committed(two)


def close_returns():
    name = group()
    send(name, [b"%d" % number for number in range(10)])
    one = consumer(name, "explicit")
    got = collect(one, 10)
    for message in got[:4]:
        one.acknowledge(message)
    one.close()
    with consumer(name) as two:
        rest = collect(two, 6)
        assert sorted(message.offset() for message in rest) == [message.offset() for message in got[4:]]
        committed(two)
        nothing(two)


def told_by_callback():
    name = group()
    send(name, [b"%d" % number for number in range(5)])
    told, failures = set(), []

    def note(offsets, error):
        if error is not None:
            failures.append(error)
        for each in offsets.values():
            told.update(each)

    with consumer(name, "explicit") as one:
        one.set_acknowledgement_commit_callback(note)
        wanted = set()
        for message in collect(one, 5):
            one.acknowledge(message)
            wanted.add(message.offset())
        one.commit_async()
        eventually(lambda: not list(one.poll(0.2)) and told == wanted, 20)
    assert not failures, failures


def isolation():
    """Committed transactions alone, where the group wants it."""
    name = group(share_isolation_level="read_committed")
    aborted = send(name, [b"aborted"], **{"transactional.id": name})
    aborted.abort_transaction(LIMIT_SECONDS)
    aborted.begin_transaction()
    aborted.produce(name, b"committed")
    aborted.commit_transaction(LIMIT_SECONDS)
    with consumer(name) as one:
        assert [message.value() for message in some(one)] == [b"committed"]
        committed(one)
        nothing(one)


def dead_letters():
    """Rejected and failed ones are copied to the group's topic, which says whence and why (KIP-1191)."""
    dead = name_of("dlq.share")
    config = {"errors.deadletterqueue.group.enable": "true"}
    admin.create_topics([NewTopic(dead, 2, -1, config=config)])[dead].result(LIMIT_SECONDS)
    name = group(
        3,
        errors_deadletterqueue_topic_name=dead,
        errors_deadletterqueue_copy_record_enable="true",
        share_delivery_count_limit=2,
    )
    ways = {b"good": AcknowledgeType.ACCEPT, b"bad": AcknowledgeType.REJECT, b"worse": AcknowledgeType.RELEASE}
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for partition in range(3):
        for value in ways:
            producer.produce(name, value, b"key", partition, headers=[("own", b"1")])
    assert producer.flush(LIMIT_SECONDS) == 0
    with consumer(name, "explicit") as one:
        reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": dead, "auto.offset.reset": "earliest"})
        reader.subscribe([dead])
        letters = []

        def all_dead():
            for message in one.poll(0.3):
                one.acknowledge(message, ways[message.value()])
            one.commit_sync(20.0)
            letter = reader.poll(0.2)
            if letter is not None and letter.error() is None:
                letters.append(letter)
            return len(letters) == 6

        eventually(all_dead, LIMIT_SECONDS, 0)
        assert reader.poll(2.0) is None
        reader.close()
    told = set()
    for letter in letters:
        headers = {key: value.decode() for key, value in letter.headers()}
        assert letter.key() == b"key"
        assert headers.pop("__dlq.errors.topic") == name and headers.pop("__dlq.errors.group") == name
        partition = int(headers.pop("__dlq.errors.partition"))
        assert letter.partition() == partition % 2
        told.add((letter.value(), partition, *sorted(headers.items())))
    wanted = set()
    for partition in range(3):
        for value, offset, count, why in (
            (b"bad", "1", "1", "Offset rejected by client."),
            (b"worse", "2", "2", "Offset delivery count exceeded the threshold."),
        ):
            headers = {
                "__dlq.errors.offset": offset,
                "__dlq.errors.delivery.count": count,
                "__dlq.errors.message": why,
            }
            wanted.add((value, partition, *sorted(headers.items())))
    assert told == wanted, told
    with consumer(name) as late:
        nothing(late)


def dead_letters_wait():
    """Without a topic that takes them they are kept, and come when there is one."""
    dead = name_of("dlq.share")
    name = group(errors_deadletterqueue_topic_name=dead)
    send(name, [b"bad"])
    with consumer(name, "explicit") as one:
        for message in some(one):
            one.acknowledge(message, AcknowledgeType.REJECT)
        committed(one)
    admin.create_topics([NewTopic(dead, 1, -1)])[dead].result(LIMIT_SECONDS)
    reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": dead, "auto.offset.reset": "earliest"})
    reader.subscribe([dead])
    assert reader.poll(7.0) is None
    entry = ConfigEntry("errors.deadletterqueue.group.enable", "true", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, dead, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(LIMIT_SECONDS)
    # A message without a value is false.
    letters = eventually(lambda: [it for it in [reader.poll(1.0)] if it is not None], LIMIT_SECONDS)
    assert letters[0].value() is None and dict(letters[0].headers())["__dlq.errors.offset"] == b"0"
    reader.close()


def dead_letters_elsewhere():
    """A name that might be anybody's topic is no place for dead letters."""
    for wrong in "orders", "dlq./", "__audit":
        refused(lambda: group(errors_deadletterqueue_topic_name=wrong), "INVALID_CONFIG")


def latest():
    """What was there before the group is not its own, as by default."""
    name = group(share_auto_offset_reset="latest")
    send(name, [b"before"])
    with consumer(name) as one:
        nothing(one, 6)
        send(name, [b"after"])
        assert [message.value() for message in some(one)] == [b"after"]
        committed(one)


def members_share():
    """More members than partitions: each of them gets some of the same partition."""
    name = group(share_record_lock_duration_ms=60000)
    members = [consumer(name, "explicit") for _ in range(3)]
    got = collections.Counter()

    def each_has_some():
        send(name, [b"%d" % number for number in range(30)])
        for at, member in enumerate(members):
            for message in member.poll(0.5):
                got[at] += 1
                member.acknowledge(message)
        return len(got) == len(members)

    eventually(each_has_some, LIMIT_SECONDS)
    for member in members:
        member.close()


def unknown_topic():
    """Its messages come once it is there."""
    name = name_of("share-late")
    resource = ConfigResource(
        ResourceType.GROUP,
        name,
        incremental_configs=[
            ConfigEntry("share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(LIMIT_SECONDS)
    with consumer(name) as one:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                assert not [message for message in one.poll(0.5) if not message.error()]
            except KafkaException as error:
                assert "UNKNOWN_TOPIC" in str(error), error
        admin.create_topics([NewTopic(name, 1, -1)])[name].result(LIMIT_SECONDS)
        send(name, [b"0"])
        eventually(lambda: [message for message in one.poll(0.5) if not message.error()], LIMIT_SECONDS)
        committed(one)


run(
    confluent_kafka.__version__,
    [
        ("share-implicit", implicit),
        ("share-explicit", explicit),
        ("share-unsettled", unsettled),
        ("share-delivery-limit", delivery_limit),
        ("share-lock-ends", lock_ends),
        ("share-close-returns", close_returns),
        ("share-callback", told_by_callback),
        ("share-isolation", isolation),
        ("share-dead-letters", dead_letters),
        ("share-dead-letters-wait", dead_letters_wait),
        ("share-dead-letters-elsewhere", dead_letters_elsewhere),
        ("share-latest", latest),
        ("share-members", members_share),
        ("share-unknown-topic", unknown_topic),
    ],
)
