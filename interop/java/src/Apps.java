import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Applications on top of clients: Streams with exactly once, Connect, a table in a compacted topic. BOOTSTRAP
 * DIRECTORY; tells how each case ended as interop/src/suites/lines.rs reads it. What is killed is a process of its own.
 */
public final class Apps {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration LIMIT = Duration.ofSeconds(120);
    private static String bootstrap;
    private static Path directory;
    private static final String RUN = "-" + ProcessHandle.current().pid();

    private interface Case {
        void run() throws Exception;
    }

    private static Map<String, Object> client(Object... more) {
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("bootstrap.servers", bootstrap);
        for (int at = 0; at < more.length; at += 2) {
            config.put((String) more[at], more[at + 1]);
        }
        return config;
    }

    private static void create(String topic, int partitions, Map<String, String> config) throws Exception {
        try (Admin admin = Admin.create(client())) {
            NewTopic wanted = new NewTopic(topic, partitions, (short) -1).configs(config);
            admin.createTopics(List.of(wanted)).all().get();
        }
    }

    private static Process start(String name, String mainClass, String... words) throws Exception {
        List<String> command = new ArrayList<>(List.of(
                System.getProperty("java.home") + "/bin/java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", System.getProperty("java.class.path"), mainClass));
        command.addAll(Arrays.asList(words));
        File log = directory.resolve(name + ".log").toFile();
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log))
                .start();
        Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
        return process;
    }

    private static void kill(Process process) throws Exception {
        process.destroyForcibly().waitFor();
    }

    private static void eventually(String what, Callable<Boolean> ask) throws Exception {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (!ask.call()) {
            check(System.nanoTime() < end, what + ": not within " + LIMIT.toSeconds() + " s");
            Thread.sleep(300);
        }
    }

    private static void check(boolean truth, String message) {
        if (!truth) {
            throw new IllegalStateException(message);
        }
    }

    /** Everything committed in a topic, by way of its end as it is now. */
    private static <V> List<ConsumerRecord<String, V>> read(String topic, Deserializer<V> values) {
        List<ConsumerRecord<String, V>> found = new ArrayList<>();
        Map<String, Object> config = client("isolation.level", "read_committed", "fetch.max.wait.ms", 100);
        try (KafkaConsumer<String, V> consumer = new KafkaConsumer<>(config, new StringDeserializer(), values)) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                    .map(info -> new TopicPartition(topic, info.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long limit = System.nanoTime() + LIMIT.toNanos();
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                consumer.poll(Duration.ofMillis(200)).forEach(found::add);
                check(System.nanoTime() < limit, "reading " + topic + " does not end");
            }
        }
        return found;
    }

    private static void streamsExactlyOnce() throws Exception {
        String input = "streams-in" + RUN;
        String output = "streams-out" + RUN;
        create(input, 2, Map.of());
        create(output, 2, Map.of());
        int words = 20;
        int each = 60;
        String state = directory.resolve("data-streams").toString();
        String[] arguments = {bootstrap, "streams-count" + RUN, input, output, state};
        Process process = start("streams", "StreamsCount", arguments);
        Map<String, Object> config = client("enable.idempotence", true);
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < words * each; number++) {
                String key = Integer.toString(number);
                producer.send(new ProducerRecord<>(input, key, "word-" + number % words));
                Thread.sleep(10);
                if (number == words * each / 3 || number == words * each * 2 / 3) {
                    producer.flush();
                    eventually("some counts", () -> !read(output, new LongDeserializer()).isEmpty());
                    kill(process);
                    process = start("streams", "StreamsCount", arguments);
                }
            }
        }
        Process last = process;
        eventually("all counts", () -> {
            check(last.isAlive(), "the application ended; see streams.log");
            return read(output, new LongDeserializer()).size() >= words * each;
        });
        Map<String, List<Long>> counts = new TreeMap<>();
        for (ConsumerRecord<String, Long> record : read(output, new LongDeserializer())) {
            counts.computeIfAbsent(record.key(), key -> new ArrayList<>()).add(record.value());
        }
        kill(process);
        check(counts.size() == words, counts.size() + " words");
        for (Map.Entry<String, List<Long>> word : counts.entrySet()) {
            for (int at = 0; at < each; at++) {
                boolean isNext = word.getValue().size() == each && word.getValue().get(at) == at + 1;
                check(isNext, word.getKey() + " was counted " + word.getValue());
            }
        }
    }

    private static Path properties(String name, Map<String, String> values) throws Exception {
        StringBuilder text = new StringBuilder();
        values.forEach((key, value) -> text.append(key).append('=').append(value).append('\n'));
        return Files.writeString(directory.resolve(name + ".properties"), text);
    }

    private static Map<String, String> worker() throws Exception {
        Map<String, String> worker = new LinkedHashMap<>();
        worker.put("bootstrap.servers", bootstrap);
        worker.put("key.converter", "org.apache.kafka.connect.storage.StringConverter");
        worker.put("value.converter", "org.apache.kafka.connect.storage.StringConverter");
        worker.put("offset.flush.interval.ms", "500");
        worker.put("plugin.discovery", "service_load");
        try (ServerSocket free = new ServerSocket(0)) {
            worker.put("listeners", "http://127.0.0.1:" + free.getLocalPort());
        }
        return worker;
    }

    private static Map<String, String> source(String name, Path file, String topic) {
        return Map.of("name", name, "connector.class", "FileStreamSource", "tasks.max", "1", "file", file.toString(), "topic", topic);
    }

    private static Map<String, String> sink(String name, Path file, String topic) {
        return Map.of("name", name, "connector.class", "FileStreamSink", "tasks.max", "1", "file", file.toString(), "topics", topic,
                "consumer.override.auto.offset.reset", "earliest");
    }

    private static void append(Path file, int from, int to) throws Exception {
        StringBuilder text = new StringBuilder();
        for (int number = from; number < to; number++) {
            text.append("line ").append(number).append('\n');
        }
        Files.writeString(file, text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private static boolean holds(Path file, int count) throws Exception {
        if (!Files.exists(file)) {
            return false;
        }
        List<String> lines = Files.readAllLines(file);
        for (int number = 0; number < count; number++) {
            if (!lines.contains("line " + number)) {
                return false;
            }
        }
        return true;
    }

    private static void connectStandalone() throws Exception {
        String topic = "connect-standalone" + RUN;
        create(topic, 1, Map.of());
        Path in = directory.resolve("standalone-in.txt");
        Path out = directory.resolve("standalone-out.txt");
        append(in, 0, 200);
        Map<String, String> worker = worker();
        worker.put("offset.storage.file.filename", directory.resolve("standalone.offsets").toString());
        String[] arguments = {
            properties("standalone", worker).toString(),
            properties("standalone-source", source("source" + RUN, in, topic)).toString(),
            properties("standalone-sink", sink("sink" + RUN, out, topic)).toString()
        };
        Process process = start("connect-standalone", "org.apache.kafka.connect.cli.ConnectStandalone", arguments);
        eventually("the first lines", () -> holds(out, 200));
        kill(process);
        append(in, 200, 300);
        process = start("connect-standalone", "org.apache.kafka.connect.cli.ConnectStandalone", arguments);
        eventually("the lines behind the restart", () -> holds(out, 300));
        kill(process);
    }

    private static int put(String address, String name, Map<String, String> config) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(address + "/connectors/" + name + "/config"))
                .header("content-type", "application/json")
                .PUT(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(config)))
                .build();
        try {
            return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
        } catch (java.io.IOException notYet) {
            return 0;
        }
    }

    private static void connectDistributed() throws Exception {
        String topic = "connect-distributed" + RUN;
        create(topic, 1, Map.of());
        Path in = directory.resolve("distributed-in.txt");
        Path out = directory.resolve("distributed-out.txt");
        append(in, 0, 200);
        Map<String, String> worker = worker();
        worker.put("group.id", "connect" + RUN);
        worker.put("connector.client.config.override.policy", "All");
        for (String kind : List.of("config", "offset", "status")) {
            worker.put(kind + ".storage.topic", "connect-" + kind + RUN);
            worker.put(kind + ".storage.replication.factor", "-1");
        }
        worker.put("exactly.once.source.support", "enabled");
        String properties = properties("distributed", worker).toString();
        Process process = start("connect-distributed", "org.apache.kafka.connect.cli.ConnectDistributed", properties);
        String address = worker.get("listeners");
        eventually("the source", () -> put(address, "source" + RUN, source("source" + RUN, in, topic)) / 100 == 2);
        eventually("the sink", () -> put(address, "sink" + RUN, sink("sink" + RUN, out, topic)) / 100 == 2);
        eventually("the first lines", () -> holds(out, 200));
        kill(process);
        append(in, 200, 300);
        process = start("connect-distributed", "org.apache.kafka.connect.cli.ConnectDistributed", properties);
        eventually("the lines behind the restart", () -> holds(out, 300));
        kill(process);
        int records = read(topic, new ByteArrayDeserializer()).size();
        check(records == 300, records + " records of 300 lines: not exactly once");
    }

    private static void compactedTable() throws Exception {
        String topic = "table" + RUN;
        create(topic, 1, Map.of("cleanup.policy", "compact", "segment.ms", "200", "min.cleanable.dirty.ratio", "0.01",
                "max.compaction.lag.ms", "1000", "delete.retention.ms", "100"));
        Map<String, String> expected = new TreeMap<>();
        int written = 0;
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(client(), new StringSerializer(), new StringSerializer())) {
            for (int round = 0; round < 10; round++) {
                for (int key = 0; key < 20; key++, written++) {
                    String value = key == round ? null : "value " + round;
                    producer.send(new ProducerRecord<>(topic, "key-" + key, value)).get();
                    expected.put("key-" + key, value == null ? "" : value);
                }
                Thread.sleep(250);
            }
            int before = written;
            eventually("compaction", () -> {
                // Something must follow: the last segment is never compacted, and so the ticks in it do not count.
                producer.send(new ProducerRecord<>(topic, "tick", "tock")).get();
                return read(topic, new StringDeserializer()).stream()
                        .filter(record -> !record.key().equals("tick"))
                        .count() < before / 2;
            });
        }
        Map<String, String> found = new TreeMap<>();
        long last = -1;
        for (ConsumerRecord<String, String> record : read(topic, new StringDeserializer())) {
            check(record.offset() > last, "offsets rise");
            last = record.offset();
            found.put(record.key(), record.value() == null ? "" : record.value());
        }
        found.remove("tick");
        expected.values().removeIf(String::isEmpty);
        found.values().removeIf(String::isEmpty);
        check(found.equals(expected), found + " instead of " + expected);
    }

    private static void tell(Map<String, String> line) throws Exception {
        System.out.println(JSON.writeValueAsString(line));
    }

    public static void main(String[] words) throws Exception {
        bootstrap = words[1];
        directory = Path.of(words[0]);
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("compacted-table", Apps::compactedTable);
        cases.put("streams-exactly-once", Apps::streamsExactlyOnce);
        cases.put("connect-standalone", Apps::connectStandalone);
        cases.put("connect-distributed", Apps::connectDistributed);
        tell(Map.of("version", AppInfoParser.getVersion()));
        String only = System.getenv().getOrDefault("CASE", "");
        for (Map.Entry<String, Case> one : cases.entrySet()) {
            if (!one.getKey().contains(only)) {
                continue;
            }
            try {
                one.getValue().run();
                tell(Map.of("case", one.getKey(), "ending", "passed"));
            } catch (Exception thrown) {
                thrown.printStackTrace();
                tell(Map.of("case", one.getKey(), "ending", "failed", "detail", thrown.toString()));
            }
        }
        System.exit(0);
    }
}
