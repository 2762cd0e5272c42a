import com.google.gson.JsonObject;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Runs cases and tells how each ended, one JSON object a line: see interop/src/suites/lines.rs. */
final class Told {
    private static final long LIMIT_SECONDS = 120;
    private static final String ONLY = System.getenv().getOrDefault("CASE", "");
    private final Map<String, Case> cases = new LinkedHashMap<>();

    interface Case {
        void run() throws Exception;
    }

    /** The broker has no such thing. */
    static final class Skip extends Exception {
        Skip(String reason) {
            super(reason);
        }
    }

    void add(String name, Case one) {
        cases.put(name, one);
    }

    /** Runs all cases that are asked for, each in a thread that is left behind when it hangs. */
    void run(String version) throws Exception {
        JsonObject first = new JsonObject();
        first.addProperty("version", version);
        System.out.println(first);
        ExecutorService threads = Executors.newCachedThreadPool(work -> {
            Thread thread = new Thread(work);
            thread.setDaemon(true);
            return thread;
        });
        for (Map.Entry<String, Case> entry : cases.entrySet()) {
            if (!entry.getKey().contains(ONLY)) {
                continue;
            }
            Future<?> running = threads.submit(() -> {
                entry.getValue().run();
                return null;
            });
            JsonObject line = new JsonObject();
            line.addProperty("case", entry.getKey());
            try {
                running.get(LIMIT_SECONDS, TimeUnit.SECONDS);
                line.addProperty("ending", "passed");
            } catch (Exception failure) {
                Throwable cause = failure.getCause() == null ? failure : failure.getCause();
                line.addProperty("ending", cause instanceof Skip ? "skipped" : "failed");
                line.addProperty("detail", shortened(cause));
                running.cancel(true);
            }
            System.out.println(line);
            System.out.flush();
        }
        System.exit(0);
    }

    private static String shortened(Throwable thrown) {
        StringBuilder text = new StringBuilder(thrown.toString());
        for (StackTraceElement element : thrown.getStackTrace()) {
            if (element.getFileName() != null && !element.getClassName().contains(".")) {
                text.append(" at ").append(element.getFileName()).append(':').append(element.getLineNumber());
                break;
            }
        }
        for (Throwable cause = thrown.getCause(); cause != null; cause = cause.getCause()) {
            text.append(" < ").append(cause);
        }
        return text.substring(0, Math.min(text.length(), 800));
    }

    static String name(String text) {
        return text + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    static void check(boolean truth, Object message) {
        if (!truth) {
            throw new AssertionError(String.valueOf(message));
        }
    }

    static void equal(Object found, Object expected) {
        check(java.util.Objects.equals(found, expected), found + " instead of " + expected);
    }

    static void eventually(String what, Callable<Boolean> ask) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!ask.call()) {
            check(System.nanoTime() < end, "not within 30 s: " + what);
            Thread.sleep(50);
        }
    }
}
