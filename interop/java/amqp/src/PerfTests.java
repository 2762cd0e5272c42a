import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** RabbitMQ's PerfTest in its common uses, each with a fixed count of messages. DIRECTORY ADDRESSES. */
public final class PerfTests {
    private static final long LIMIT_SECONDS = 90;
    private static String uris;
    private static Path directory;

    private static void perfTest(String name, String... options) throws Exception {
        List<String> command = new ArrayList<>(List.of(
            ProcessHandle.current().info().command().orElse("java"), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dslf4j.provider=ch.qos.logback.classic.spi.LogbackServiceProvider", "-cp", System.getProperty("java.class.path"),
            "com.rabbitmq.perf.PerfTest", "--uris", uris, "--id", name, "-e", Told.name("perf")));
        command.addAll(List.of(options));
        File out = directory.resolve("perf-" + name + ".txt").toFile();
        Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(out).start();
        if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new AssertionError("not ended within " + LIMIT_SECONDS + " s: " + end(out));
        }
        Told.check(process.exitValue() == 0, "exit status " + process.exitValue() + ": " + end(out));
        String text = Files.readString(out.toPath(), StandardCharsets.UTF_8);
        Told.check(text.contains("receiving rate avg") || text.contains("sending rate avg"), "no summary: " + end(out));
        Told.check(!text.contains("Exception") && !text.contains("nacked: 1"), end(out));
    }

    private static String end(File out) throws Exception {
        String text = Files.readString(out.toPath(), StandardCharsets.UTF_8);
        return text.substring(Math.max(0, text.length() - 500));
    }

    private static void add(Told told, String name, String... options) {
        told.add(name, () -> perfTest(name, options));
    }

    /** Runs all. */
    public static void main(String[] arguments) throws Exception {
        directory = Path.of(arguments[0]);
        List<String> all = new ArrayList<>();
        for (String address : arguments[1].split(",")) {
            all.add("amqp://guest:guest@" + address + "/%2f");
        }
        uris = String.join(",", all);
        Told told = new Told();
        add(told, "default", "-C", "20000", "-D", "20000");
        add(told, "confirms-and-acks", "-c", "100", "-q", "50", "-A", "10", "-C", "10000", "-D", "10000", "-s", "1000");
        add(told, "confirm-each", "-c", "1", "-C", "200", "-D", "200", "-q", "1");
        add(told, "persistent-quorum-queue", "--quorum-queue", "--queue", Told.name("perf-quorum"), "-c", "200", "-q", "200",
            "-C", "5000", "-D", "5000");
        add(told, "stream-queue", "--stream-queue", "--queue", Told.name("perf-stream"), "-c", "200", "-C", "5000", "-D", "5000");
        add(told, "many-producers-and-consumers", "-x", "5", "-y", "5", "-c", "50", "-q", "50", "-C", "1000", "-D", "1000");
        add(told, "queue-pattern", "--queue-pattern", Told.name("perf") + "-%d", "--queue-pattern-from", "1", "--queue-pattern-to", "10",
            "-x", "10", "-y", "10", "-C", "200", "-D", "200", "-c", "10");
        add(told, "fanout", "-t", "fanout", "-x", "1", "-y", "4", "-C", "1000", "-D", "1000");
        add(told, "topic-random-keys", "-t", "topic", "-k", "key", "-C", "2000", "-D", "2000");
        add(told, "mandatory", "-f", "mandatory", "-c", "10", "-C", "1000", "-D", "1000");
        add(told, "transactions", "-m", "10", "-n", "10", "-C", "500", "-D", "500");
        add(told, "polling", "-po", "-C", "500", "-D", "500");
        add(told, "nacks", "-na", "-re", "true", "-C", "200", "-D", "400", "-q", "20");
        add(told, "auto-ack-large", "-a", "-s", "200000", "-C", "200", "-D", "200");
        add(told, "rate-limited", "-r", "200", "-z", "5");
        add(told, "priorities", "-qa", "x-max-priority=10", "--message-properties", "priority=5", 
            "-u", Told.name("perf-priority"), "-C", "1000", "-D", "1000");
        add(told, "headers-and-json", "--message-properties", "contentType=application/json,a=b,c=1", "--json-body", "-s", "2000",
            "-C", "500", "-D", "500");
        told.run("2.22.1");
    }
}
