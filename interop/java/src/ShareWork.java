import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a share group that writes down what it was given, what it said of it, and which of that was confirmed: see
 * interop/src/share_history/event.rs. The first word is what it does:
 *
 * setup sets the group's limits; consume works until its standard input ends; drain accepts all that is left, and ends when it
 * has had everything of --wanted, or nothing more comes.
 */
public final class ShareWork {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** As long as Kafka's shortest. */
    private static final String LOCK_MS = "15000";
    /** Kafka's most. */
    private static final String DELIVERY_LIMIT = "10";
    private static final Duration POLL = Duration.ofMillis(200);
    /** Everything that was wanted has come: what should not come has so long to do it. */
    private static final long AFTERWARDS_NS = 2_000_000_000L;
    /** Longer than members that were killed keep their partitions, and then what they had. */
    private static final long QUIET_NS = 75_000_000_000L;

    private static volatile boolean isStopped;

    private record Place(int key, long offset) {}

    private final Map<String, String> options;
    private final PrintWriter history;
    private final Map<Place, String> asked = new HashMap<>();
    private final Set<Place> renewed = new HashSet<>();
    private final Random random;
    private long errors;
    private long confirmed;

    private ShareWork(Map<String, String> options) throws Exception {
        this.options = options;
        this.random = new Random(options.get("process").hashCode());
        this.history = new PrintWriter(Files.newBufferedWriter(Path.of(options.get("history"))));
    }

    private void write(String type, String f, Place place, Map<String, Object> more) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("process", options.get("process"));
        line.put("type", type);
        line.put("f", f);
        line.put("key", place.key());
        line.put("offset", place.offset());
        line.putAll(more);
        line.put("time_ns", System.nanoTime());
        try {
            history.println(JSON.writeValueAsString(line));
        } catch (Exception thrown) {
            throw new IllegalStateException(thrown);
        }
    }

    private void confirmed(Map<TopicIdPartition, Set<Long>> places, Exception error) {
        places.forEach((partition, offsets) -> offsets.forEach(offset -> {
            Place place = new Place(partition.partition(), offset);
            String how = asked.remove(place);
            if (how == null) {
                throw new IllegalStateException("an answer to nothing: " + place);
            }
            write(error == null ? "ok" : "info", "settle", place, Map.of("how", how));
            confirmed += error == null ? 1 : 0;
        }));
        if (error != null) {
            errors++;
            System.err.println(places + ": " + error);
            System.out.println("errors " + errors);
        }
        history.flush();
        System.out.println("acked " + confirmed);
    }

    private KafkaShareConsumer<String, String> consumer() {
        Map<String, Object> config = new HashMap<>(Map.of(
                "bootstrap.servers", options.get("bootstrap"),
                "group.id", options.get("topic"),
                "client.id", options.get("process"),
                "share.acknowledgement.mode", "explicit",
                "max.poll.records", 40,
                "retry.backoff.ms", 20,
                "reconnect.backoff.ms", 20,
                "reconnect.backoff.max.ms", 200,
                "request.timeout.ms", 3_000));
        KafkaShareConsumer<String, String> consumer =
                new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        consumer.setAcknowledgementCommitCallback(this::confirmed);
        consumer.subscribe(List.of(options.get("topic")));
        return consumer;
    }

    private AcknowledgeType fate() {
        int draw = random.nextInt(100);
        if (draw < 84) {
            return AcknowledgeType.ACCEPT;
        }
        return draw < 92 ? AcknowledgeType.RELEASE : draw < 95 ? AcknowledgeType.REJECT : AcknowledgeType.RENEW;
    }

    private void take(KafkaShareConsumer<String, String> consumer, ConsumerRecord<String, String> record, AcknowledgeType how) {
        Place place = new Place(record.partition(), record.offset());
        if (!renewed.remove(place)) {
            String value = record.value().split(" ", 2)[0];
            write("ok", "deliver", place, Map.of("value", value, "count", record.deliveryCount().orElse((short) 0)));
        }
        if (how == AcknowledgeType.RENEW) {
            renewed.add(place);
        }
        String word = how.toString();
        write("invoke", "settle", place, Map.of("how", word));
        asked.put(place, word);
        consumer.acknowledge(record, how);
        System.out.println("position " + place.key() + " " + System.nanoTime());
    }

    /** What is not answered in time is told to the callback later. */
    private static void commit(KafkaShareConsumer<String, String> consumer) {
        try {
            consumer.commitSync(Duration.ofSeconds(2));
        } catch (TimeoutException late) {
            System.err.println(late);
        }
    }

    private void consume() throws Exception {
        try (KafkaShareConsumer<String, String> consumer = consumer()) {
            while (!isStopped) {
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    take(consumer, record, fate());
                }
                if (random.nextInt(4) == 0) {
                    commit(consumer);
                } else {
                    consumer.commitAsync();
                }
                history.flush();
            }
        }
    }

    private static void listen() {
        Thread thread = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // Nothing is said to it.
                }
            } catch (Exception ended) {
                // Its end is what is waited for.
            }
            isStopped = true;
        });
        thread.setDaemon(true);
        thread.start();
    }

    private void drain() throws Exception {
        Set<Place> wanted = new HashSet<>();
        for (String line : Files.readAllLines(Path.of(options.get("wanted")))) {
            String[] words = line.split(" ");
            wanted.add(new Place(Integer.parseInt(words[0]), Long.parseLong(words[1])));
        }
        long last = System.nanoTime();
        long end = last + QUIET_NS;
        try (KafkaShareConsumer<String, String> consumer = consumer()) {
            while (System.nanoTime() < end) {
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    take(consumer, record, AcknowledgeType.ACCEPT);
                    wanted.remove(new Place(record.partition(), record.offset()));
                    last = System.nanoTime();
                }
                commit(consumer);
                end = last + (wanted.isEmpty() && asked.isEmpty() ? AFTERWARDS_NS : QUIET_NS);
            }
        }
    }

    private void setUp() throws Exception {
        Map<String, String> limits = Map.of(
                "share.auto.offset.reset", "earliest",
                "share.record.lock.duration.ms", LOCK_MS,
                "share.delivery.count.limit", DELIVERY_LIMIT);
        List<AlterConfigOp> all = limits.entrySet().stream()
                .map(it -> new AlterConfigOp(new ConfigEntry(it.getKey(), it.getValue()), AlterConfigOp.OpType.SET))
                .toList();
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, options.get("topic"));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.get("bootstrap")))) {
            admin.incrementalAlterConfigs(Map.of(group, all)).all().get();
        }
    }

    public static void main(String[] words) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < words.length; at += 2) {
            options.put(words[at].substring(2), words[at + 1]);
        }
        ShareWork work = new ShareWork(options);
        try {
            switch (words[0]) {
                case "setup" -> work.setUp();
                case "consume" -> {
                    listen();
                    work.consume();
                }
                case "drain" -> work.drain();
                default -> throw new IllegalArgumentException(words[0]);
            }
        } finally {
            work.history.close();
        }
        System.exit(0);
    }
}
