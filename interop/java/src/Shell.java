import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's command line tools as one process: a virtual machine's start costs more than most commands.
 *
 * <p>One JSON object a line comes in: {"id", "class", "arguments", "input"}; one goes out when that
 * command has ended: {"id", "exit", "out", "err"}. Commands run side by side; each has its own
 * standard input and outputs, and leaves by what would have been its exit status.
 */
public final class Shell {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final InheritableThreadLocal<Call> CURRENT = new InheritableThreadLocal<>();

    /** A command that runs. */
    private static final class Call {
        final ByteArrayOutputStream out = new ByteArrayOutputStream();
        final ByteArrayOutputStream err = new ByteArrayOutputStream();
        final List<Runnable> hooks = new CopyOnWriteArrayList<>();
        final InputStream input;
        volatile Integer exit;

        Call(String input) {
            this.input = new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8));
        }

        void leave(int status) {
            // Some tools catch what they throw and exit once more.
            if (exit == null) {
                exit = status;
            }
            throw new Left();
        }
    }

    /** Unwinds a command that has called exit. */
    private static final class Left extends Error {
        Left() {
            super("exit", null, false, false);
        }
    }

    private static final class Input extends InputStream {
        @Override
        public int read() {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] bytes, int from, int length) {
            Call call = CURRENT.get();
            try {
                return call == null ? -1 : call.input.read(bytes, from, length);
            } catch (java.io.IOException impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }

    private static final class Output extends OutputStream {
        private final boolean isError;

        Output(boolean isError) {
            this.isError = isError;
        }

        @Override
        public void write(int one) {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int from, int length) {
            Call call = CURRENT.get();
            if (call != null) {
                (isError ? call.err : call.out).write(bytes, from, length);
            }
        }
    }

    private static void run(JsonNode request, PrintStream answers) {
        Call call = new Call(request.path("input").asText(""));
        CURRENT.set(call);
        try {
            String[] arguments = JSON.convertValue(request.get("arguments"), String[].class);
            Class<?> tool = Class.forName(request.get("class").asText());
            tool.getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (Throwable thrown) {
            Throwable cause = thrown instanceof java.lang.reflect.InvocationTargetException ? thrown.getCause() : thrown;
            if (!(cause instanceof Left)) {
                cause.printStackTrace();
                call.exit = call.exit == null ? Integer.valueOf(1) : call.exit;
            }
        }
        for (Runnable hook : call.hooks) {
            try {
                hook.run();
            } catch (Throwable thrown) {
                thrown.printStackTrace();
            }
        }
        ObjectNode answer = JSON.createObjectNode();
        answer.set("id", request.get("id"));
        answer.put("exit", call.exit == null ? 0 : call.exit);
        answer.put("out", call.out.toString(StandardCharsets.UTF_8));
        answer.put("err", call.err.toString(StandardCharsets.UTF_8));
        synchronized (answers) {
            answers.println(answer);
            answers.flush();
        }
    }

    /** Reads requests until standard input ends. */
    public static void main(String[] ignored) throws Exception {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        System.setIn(new Input());
        System.setOut(new PrintStream(new Output(false), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new Output(true), true, StandardCharsets.UTF_8));
        Exit.Procedure leave = (status, message) -> {
            if (message != null) {
                System.err.println(message);
            }
            CURRENT.get().leave(status);
        };
        Exit.setExitProcedure(leave);
        Exit.setHaltProcedure(leave);
        Exit.setShutdownHookAdder((name, hook) -> {
            Call call = CURRENT.get();
            if (call != null) {
                call.hooks.add(hook);
            }
        });
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            JsonNode request = JSON.readTree(line);
            Thread thread = new Thread(() -> run(request, answers), "command-" + request.get("id"));
            thread.setDaemon(true);
            thread.start();
        }
        Runtime.getRuntime().halt(0);
    }
}
