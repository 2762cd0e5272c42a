import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Share groups (KIP-932) as applications use them. BOOTSTRAP is the second word; tells how each case ended as
 * interop/src/suites/lines.rs reads it.
 */
public final class Share {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long LIMIT_MS = 60_000;
    private static final String RUN = "-" + ProcessHandle.current().pid();
    private static String bootstrap;

    private interface Case {
        void run(String name) throws Exception;
    }

    private interface Done {
        boolean now() throws Exception;
    }

    private static Map<String, Object> client(Object... more) {
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("bootstrap.servers", bootstrap);
        for (int at = 0; at < more.length; at += 2) {
            config.put((String) more[at], more[at + 1]);
        }
        return config;
    }

    private static void create(String name, int partitions, String... settings) throws Exception {
        try (Admin admin = Admin.create(client())) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) -1))).all().get();
            Map<String, String> wanted = new TreeMap<>(Map.of("share.auto.offset.reset", "earliest"));
            for (int at = 0; at < settings.length; at += 2) {
                wanted.put(settings[at], settings[at + 1]);
            }
            List<AlterConfigOp> all = new ArrayList<>();
            wanted.forEach((key, value) ->
                    all.add(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET)));
            ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, name);
            admin.incrementalAlterConfigs(Map.of(group, all)).all().get();
        }
    }

    private static KafkaProducer<String, String> producer(Object... more) {
        return new KafkaProducer<>(client(more), new StringSerializer(), new StringSerializer());
    }

    private static void produce(String topic, int from, int to) throws Exception {
        try (KafkaProducer<String, String> producer = producer()) {
            for (int at = from; at < to; at++) {
                producer.send(new ProducerRecord<>(topic, "m" + at));
            }
        }
    }

    private static KafkaShareConsumer<String, String> consumer(String group, Object... more) {
        Map<String, Object> config = client("group.id", group);
        config.putAll(client(more));
        KafkaShareConsumer<String, String> consumer =
                new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(group));
        return consumer;
    }

    private static KafkaShareConsumer<String, String> explicit(String group) {
        return consumer(group, "share.acknowledgement.mode", "explicit");
    }

    private static void until(String what, Done done) throws Exception {
        long end = System.currentTimeMillis() + LIMIT_MS;
        while (!done.now()) {
            if (System.currentTimeMillis() > end) {
                throw new IllegalStateException("never: " + what);
            }
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    /** Polls until there is something. */
    private static List<ConsumerRecord<String, String>> some(KafkaShareConsumer<String, String> consumer)
            throws Exception {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        until("records", () -> {
            consumer.poll(Duration.ofMillis(500)).forEach(got::add);
            return !got.isEmpty();
        });
        return got;
    }

    private static void implicit(String name) throws Exception {
        create(name, 3);
        produce(name, 0, 1000);
        Map<String, Integer> seen = new TreeMap<>();
        try (KafkaShareConsumer<String, String> one = consumer(name);
                KafkaShareConsumer<String, String> two = consumer(name)) {
            until("all messages", () -> {
                one.poll(Duration.ofMillis(200)).forEach(it -> seen.merge(it.value(), 1, Integer::sum));
                two.poll(Duration.ofMillis(200)).forEach(it -> seen.merge(it.value(), 1, Integer::sum));
                return seen.size() >= 1000;
            });
            one.commitSync();
            two.commitSync();
        }
        check(seen.values().stream().allMatch(count -> count == 1), "a message came twice: " + seen);
        try (KafkaShareConsumer<String, String> late = consumer(name)) {
            for (int at = 0; at < 6; at++) {
                check(late.poll(Duration.ofMillis(500)).isEmpty(), "a message was acknowledged and came again");
            }
        }
    }

    private static void explicitKinds(String name) throws Exception {
        create(name, 1);
        produce(name, 0, 4);
        Map<String, Short> again = new TreeMap<>();
        try (KafkaShareConsumer<String, String> consumer = explicit(name)) {
            List<ConsumerRecord<String, String>> first = new ArrayList<>();
            until("four messages", () -> {
                consumer.poll(Duration.ofMillis(500)).forEach(it -> {
                    first.add(it);
                    AcknowledgeType how = switch (it.value()) {
                        case "m1" -> AcknowledgeType.RELEASE;
                        case "m2" -> AcknowledgeType.REJECT;
                        default -> AcknowledgeType.ACCEPT;
                    };
                    consumer.acknowledge(it, how);
                });
                return first.size() >= 4;
            });
            Map<TopicIdPartition, Optional<KafkaException>> results = consumer.commitSync();
            check(results.values().stream().allMatch(Optional::isEmpty), "refused: " + results);
            for (ConsumerRecord<String, String> record : some(consumer)) {
                again.put(record.value(), record.deliveryCount().get());
                consumer.acknowledge(record, AcknowledgeType.ACCEPT);
            }
            consumer.commitSync();
        }
        check(again.equals(Map.of("m1", (short) 2)), "came again: " + again);
    }

    private static void deliveryLimit(String name) throws Exception {
        create(name, 1, "share.delivery.count.limit", "3");
        produce(name, 0, 1);
        List<Short> counts = new ArrayList<>();
        try (KafkaShareConsumer<String, String> consumer = explicit(name)) {
            long end = System.currentTimeMillis() + 15_000;
            while (System.currentTimeMillis() < end && counts.size() < 4) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
                    counts.add(record.deliveryCount().get());
                    consumer.acknowledge(record, AcknowledgeType.RELEASE);
                }
                consumer.commitSync();
                if (counts.size() == 3) {
                    end = Math.min(end, System.currentTimeMillis() + 3_000);
                }
            }
        }
        check(counts.equals(List.of((short) 1, (short) 2, (short) 3)), "delivered " + counts);
    }

    /** A member that dies without a word: its locks end, and others get what it had. */
    private static void locksEnd(String name) throws Exception {
        create(name, 1, "share.record.lock.duration.ms", "15000");
        produce(name, 0, 2);
        try (KafkaShareConsumer<String, String> holder = explicit(name);
                KafkaShareConsumer<String, String> other = explicit(name)) {
            List<ConsumerRecord<String, String>> held = some(holder);
            check(held.get(0).deliveryCount().get() == 1, "delivered before");
            Set<String> wanted = new HashSet<>();
            held.forEach(it -> wanted.add(it.value()));
            Map<String, Short> got = new TreeMap<>();
            until("what another one held", () -> {
                for (ConsumerRecord<String, String> record : other.poll(Duration.ofMillis(500))) {
                    got.put(record.value(), record.deliveryCount().get());
                    other.acknowledge(record, AcknowledgeType.ACCEPT);
                }
                other.commitSync();
                return got.keySet().containsAll(wanted);
            });
            check(wanted.stream().allMatch(it -> got.get(it) == 2), "delivered: " + got);
            held.forEach(it -> holder.acknowledge(it, AcknowledgeType.ACCEPT));
            Map<TopicIdPartition, Optional<KafkaException>> results = holder.commitSync();
            check(results.values().stream().anyMatch(Optional::isPresent), "taken though the locks were over");
        }
    }

    private static void renewal(String name) throws Exception {
        create(name, 1, "share.record.lock.duration.ms", "15000");
        produce(name, 0, 1);
        try (KafkaShareConsumer<String, String> holder = explicit(name);
                KafkaShareConsumer<String, String> other = explicit(name)) {
            ConsumerRecord<String, String> record = some(holder).get(0);
            AtomicReference<ConsumerRecord<String, String>> last = new AtomicReference<>(record);
            long end = System.currentTimeMillis() + 24_000;
            while (System.currentTimeMillis() < end) {
                holder.acknowledge(last.get(), AcknowledgeType.RENEW);
                Map<TopicIdPartition, Optional<KafkaException>> results = holder.commitSync();
                check(results.values().stream().allMatch(Optional::isEmpty), "not renewed: " + results);
                // A renewed record is given out by the next poll again.
                some(holder).forEach(last::set);
                check(other.poll(Duration.ofMillis(2_000)).isEmpty(), "lost though it was renewed");
            }
            holder.acknowledge(last.get(), AcknowledgeType.ACCEPT);
            Map<TopicIdPartition, Optional<KafkaException>> results = holder.commitSync();
            check(results.values().stream().allMatch(Optional::isEmpty), "not accepted: " + results);
        }
    }

    /** Beyond Kafka: what is released comes back after a while. */
    private static void retryDelay(String name) throws Exception {
        create(name, 1, "share.retry.delay.ms", "3000");
        produce(name, 0, 1);
        try (KafkaShareConsumer<String, String> consumer = explicit(name)) {
            consumer.acknowledge(some(consumer).get(0), AcknowledgeType.RELEASE);
            consumer.commitSync();
            long released = System.nanoTime();
            ConsumerRecord<String, String> again = some(consumer).get(0);
            long waited = (System.nanoTime() - released) / 1_000_000;
            check(again.deliveryCount().get() == 2, "delivered " + again.deliveryCount());
            // It waits by the node's clock, and the answer to the release took a moment.
            check(waited > 2_000, "came back after " + waited + " ms");
            consumer.acknowledge(again, AcknowledgeType.ACCEPT);
            consumer.commitSync();
        }
    }

    private static void closeReleases(String name) throws Exception {
        create(name, 1);
        produce(name, 0, 3);
        try (KafkaShareConsumer<String, String> first = explicit(name)) {
            some(first);
        }
        try (KafkaShareConsumer<String, String> second = explicit(name)) {
            List<ConsumerRecord<String, String>> got = some(second);
            got.forEach(it -> second.acknowledge(it, AcknowledgeType.ACCEPT));
            second.commitSync();
            check(got.get(0).value().equals("m0"), "got " + got.get(0).value());
        }
    }

    private static void committedOnly(String name) throws Exception {
        create(name, 1, "share.isolation.level", "read_committed");
        Set<String> seen = ConcurrentHashMap.newKeySet();
        try (KafkaProducer<String, String> producer = producer("transactional.id", name);
                KafkaShareConsumer<String, String> consumer = consumer(name)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(name, "aborted")).get();
            producer.abortTransaction();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(name, "committed")).get();
            for (int at = 0; at < 6; at++) {
                consumer.poll(Duration.ofMillis(500)).forEach(it -> seen.add(it.value()));
            }
            check(seen.isEmpty(), "seen before the commit: " + seen);
            producer.commitTransaction();
            until("what was committed", () -> {
                consumer.poll(Duration.ofMillis(500)).forEach(it -> seen.add(it.value()));
                return !seen.isEmpty();
            });
        }
        check(seen.equals(Set.of("committed")), "seen " + seen);
    }

    private static void recordLimit(String name) throws Exception {
        create(name, 1);
        produce(name, 0, 100);
        try (KafkaShareConsumer<String, String> consumer =
                consumer(name, "share.acquire.mode", "record_limit", "max.poll.records", 7)) {
            int count = 0;
            for (int at = 0; at < 40 && count < 100; at++) {
                int got = consumer.poll(Duration.ofMillis(1_000)).count();
                check(got <= 7, got + " records at once");
                count += got;
            }
            check(count == 100, count + " records in all");
        }
    }

    private static void latest(String name) throws Exception {
        create(name, 1, "share.auto.offset.reset", "latest");
        produce(name, 0, 5);
        try (KafkaShareConsumer<String, String> consumer = consumer(name)) {
            check(consumer.poll(Duration.ofMillis(4_000)).isEmpty(), "came though it was there before");
            produce(name, 5, 6);
            check(some(consumer).get(0).value().equals("m5"), "another one");
        }
    }

    private static void described(String name) throws Exception {
        create(name, 2);
        produce(name, 0, 10);
        try (Admin admin = Admin.create(client());
                KafkaShareConsumer<String, String> consumer = consumer(name)) {
            some(consumer);
            consumer.commitSync();
            var group = admin.describeShareGroups(List.of(name)).describedGroups().get(name).get();
            check(group.groupState().toString().equals("Stable"), "state " + group.groupState());
            check(group.members().size() == 1, "members " + group.members());
            var listed = admin.listGroups().all().get();
            check(listed.stream().anyMatch(it -> it.groupId().equals(name)
                    && it.type().map(type -> type.toString().equals("Share")).orElse(false)), "listed " + listed);
        }
    }

    private static void tell(Map<String, String> line) throws Exception {
        System.out.println(JSON.writeValueAsString(line));
    }

    public static void main(String[] words) throws Exception {
        bootstrap = words[1];
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("implicit", Share::implicit);
        cases.put("explicit-kinds", Share::explicitKinds);
        cases.put("delivery-limit", Share::deliveryLimit);
        cases.put("retry-delay", Share::retryDelay);
        cases.put("close-releases", Share::closeReleases);
        cases.put("record-limit", Share::recordLimit);
        cases.put("latest", Share::latest);
        cases.put("read-committed", Share::committedOnly);
        cases.put("described", Share::described);
        cases.put("locks-end", Share::locksEnd);
        cases.put("renewal", Share::renewal);
        tell(Map.of("version", AppInfoParser.getVersion()));
        String only = System.getenv().getOrDefault("CASE", "");
        for (Map.Entry<String, Case> one : cases.entrySet()) {
            if (!one.getKey().contains(only)) {
                continue;
            }
            try {
                one.getValue().run("share-" + one.getKey() + RUN);
                tell(Map.of("case", one.getKey(), "ending", "passed"));
            } catch (Exception thrown) {
                thrown.printStackTrace();
                tell(Map.of("case", one.getKey(), "ending", "failed", "detail", thrown.toString()));
            }
        }
        System.exit(0);
    }
}
