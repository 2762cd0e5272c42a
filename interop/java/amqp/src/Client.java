import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.BuiltinExchangeType;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import com.rabbitmq.client.impl.recovery.AutorecoveringConnection;
import java.io.DataInputStream;
import java.math.BigDecimal;
import java.net.Socket;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** The cases of interop/clients/CASES-AMQP.md with RabbitMQ's client for Java. DIRECTORY ADDRESSES. */
public final class Client {
    private static String[] addresses;

    private static ConnectionFactory factory(int node) {
        String[] address = addresses[Math.floorMod(node, addresses.length)].split(":");
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(address[0]);
        factory.setPort(Integer.parseInt(address[1]));
        factory.setNetworkRecoveryInterval(200);
        factory.setChannelRpcTimeout(20_000);
        return factory;
    }

    private static Channel channel(int node) throws Exception {
        return factory(node).newConnection().createChannel();
    }

    private static void close(Channel... channels) throws Exception {
        for (Channel channel : channels) {
            channel.getConnection().close();
        }
    }

    private static String queue(Channel channel, Map<String, Object> arguments) throws Exception {
        return channel.queueDeclare(Told.name("java"), true, false, false, arguments).getQueue();
    }

    private static byte[] bytes(Object text) {
        return String.valueOf(text).getBytes();
    }

    private static GetResponse take(Channel channel, String queue, boolean autoAck) throws Exception {
        AtomicReference<GetResponse> got = new AtomicReference<>();
        Told.eventually("a message in " + queue, () -> {
            got.set(channel.basicGet(queue, autoAck));
            return got.get() != null;
        });
        return got.get();
    }

    private static BlockingQueue<Delivery> consume(Channel channel, String queue) throws Exception {
        BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        channel.basicConsume(queue, false, (tag, delivery) -> deliveries.add(delivery), tag -> { });
        return deliveries;
    }

    private static Delivery next(BlockingQueue<Delivery> deliveries) throws Exception {
        Delivery delivery = deliveries.poll(20, TimeUnit.SECONDS);
        Told.check(delivery != null, "no delivery within 20 s");
        return delivery;
    }

    private static void refused(int code, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (Exception thrown) {
            for (Throwable at = thrown; at != null; at = at.getCause()) {
                if (at instanceof ShutdownSignalException) {
                    Method reason = ((ShutdownSignalException) at).getReason();
                    int told = reason instanceof AMQP.Channel.Close
                        ? ((AMQP.Channel.Close) reason).getReplyCode()
                        : ((AMQP.Connection.Close) reason).getReplyCode();
                    Told.equal(told, code);
                    return;
                }
            }
            throw thrown;
        }
        throw new AssertionError("not refused with " + code);
    }

    private static void headerTypes() throws Exception {
        Map<String, Object> sent = new HashMap<>();
        sent.put("text", "é");
        sent.put("byte", (byte) -1);
        sent.put("short", (short) 300);
        sent.put("int", 70_000);
        sent.put("long", Long.MIN_VALUE);
        sent.put("float", 1.5f);
        sent.put("double", 1.1);
        sent.put("yes", true);
        sent.put("none", null);
        sent.put("bytes", new byte[] {0, -1});
        sent.put("decimal", new BigDecimal("3.14"));
        sent.put("time", new Date(1_700_000_000_000L));
        sent.put("list", List.of(1, "two", List.of(true)));
        sent.put("table", Map.of("deep", Map.of("deeper", 1L)));
        Channel near = channel(0);
        Channel far = channel(-1);
        String queue = queue(near, null);
        near.basicPublish("", queue, new AMQP.BasicProperties.Builder().headers(sent).build(), bytes("x"));
        Map<String, Object> got = take(far, queue, true).getProps().getHeaders();
        Told.equal(new TreeSet<>(got.keySet()), new TreeSet<>(sent.keySet()));
        for (String key : sent.keySet()) {
            Told.equal(plain(got.get(key)), plain(sent.get(key)));
        }
        near.queueDelete(queue);
        close(near, far);
    }

    /** With its type, and long strings as text. */
    private static String plain(Object value) {
        if (value instanceof LongString || value instanceof String) {
            return "text " + value;
        }
        if (value instanceof byte[]) {
            return "bytes " + java.util.Arrays.toString((byte[]) value);
        }
        if (value instanceof List) {
            List<String> all = new ArrayList<>();
            ((List<?>) value).forEach(item -> all.add(plain(item)));
            return all.toString();
        }
        if (value instanceof Map) {
            Map<String, String> all = new java.util.TreeMap<>();
            ((Map<?, ?>) value).forEach((key, item) -> all.put(key.toString(), plain(item)));
            return all.toString();
        }
        return value == null ? "none" : value.getClass().getSimpleName() + " " + value;
    }

    private static void properties() throws Exception {
        Channel channel = channel(0);
        String queue = queue(channel, null);
        AMQP.BasicProperties sent = new AMQP.BasicProperties("text/plain", "utf-8", null, 2, 9, "c", "r", "3600000", "m",
            new Date(1_700_000_000_000L), "t", "guest", "a", "cl");
        channel.basicPublish("", queue, sent, bytes("x"));
        Told.equal(take(channel, queue, true).getProps(), sent);
        channel.queueDelete(queue);
        close(channel);
    }

    private static void confirms() throws Exception {
        Channel channel = channel(0);
        channel.confirmSelect();
        String queue = queue(channel, null);
        for (int round = 0; round < 10; round++) {
            for (int number = 0; number < 100; number++) {
                channel.basicPublish("", queue, null, bytes(number));
            }
            channel.waitForConfirmsOrDie(20_000);
        }
        Told.equal(channel.messageCount(queue), 1000L);
        channel.queueDelete(queue);
        close(channel);
    }

    private static void confirmsOneByOne() throws Exception {
        Channel channel = channel(0);
        channel.confirmSelect();
        String queue = queue(channel, Map.of("x-max-length", 5, "x-overflow", "reject-publish"));
        TreeSet<Long> acked = new TreeSet<>();
        TreeSet<Long> nacked = new TreeSet<>();
        channel.addConfirmListener(
            (tag, multiple) -> settle(acked, nacked, acked, tag, multiple),
            (tag, multiple) -> settle(acked, nacked, nacked, tag, multiple));
        for (int number = 0; number < 10; number++) {
            channel.basicPublish("", queue, null, bytes(number));
        }
        Told.check(!channel.waitForConfirms(20_000), "some were refused");
        Told.equal(List.copyOf(acked), List.of(1L, 2L, 3L, 4L, 5L));
        Told.equal(List.copyOf(nacked), List.of(6L, 7L, 8L, 9L, 10L));
        channel.queueDelete(queue);
        close(channel);
    }

    private static synchronized void settle(TreeSet<Long> acked, TreeSet<Long> nacked, TreeSet<Long> to, long tag, boolean multiple) {
        for (long at = multiple ? 1 : tag; at <= tag; at++) {
            if (!acked.contains(at) && !nacked.contains(at)) {
                to.add(at);
            }
        }
    }

    private static void returnsBeforeConfirms() throws Exception {
        Channel channel = channel(0);
        channel.confirmSelect();
        List<String> told = Collections.synchronizedList(new ArrayList<>());
        channel.addReturnListener(returned -> told.add("returned " + returned.getReplyCode()));
        channel.addConfirmListener((tag, multiple) -> told.add("acked " + tag), (tag, multiple) -> told.add("nacked " + tag));
        channel.basicPublish("amq.direct", Told.name("nobody"), true, null, bytes("x"));
        channel.waitForConfirmsOrDie(20_000);
        Told.eventually("both", () -> told.size() == 2);
        Told.equal(told, List.of("returned 312", "acked 1"));
        close(channel);
    }

    private static void rules() throws Exception {
        Channel channel = channel(0);
        String queue = queue(channel, null);
        refused(406, () -> channel.getConnection().createChannel().queueDeclare(queue, false, false, false, null));
        refused(404, () -> channel.getConnection().createChannel().queueDeclarePassive(Told.name("none")));
        refused(404, () -> channel.getConnection().createChannel().exchangeDeclarePassive(Told.name("none")));
        refused(406, () -> channel.getConnection().createChannel().exchangeDeclare("amq.direct", "fanout", true));
        refused(403, () -> channel.getConnection().createChannel().exchangeDelete("amq.direct"));
        channel.queueDelete(queue);
        close(channel);
    }

    private static void exclusiveQueue() throws Exception {
        Channel owner = channel(0);
        String queue = owner.queueDeclare().getQueue();
        Channel far = channel(-1);
        refused(405, () -> far.getConnection().createChannel().queueDeclarePassive(queue));
        close(owner);
        Told.eventually("the queue is gone", () -> {
            try {
                far.getConnection().createChannel().queueDeclarePassive(queue);
                return false;
            } catch (java.io.IOException gone) {
                return gone.getCause().getMessage().contains("404");
            }
        });
        close(far);
    }

    private static void cancelNotification() throws Exception {
        Channel near = channel(0);
        Channel far = channel(-1);
        String queue = queue(near, null);
        BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();
        String tag = far.basicConsume(queue, new DefaultConsumer(far) {
            @Override
            public void handleCancel(String consumerTag) {
                cancelled.add(consumerTag);
            }
        });
        near.queueDelete(queue);
        Told.equal(cancelled.poll(20, TimeUnit.SECONDS), tag);
        close(near, far);
    }

    private static void prefetch() throws Exception {
        Channel near = channel(0);
        Channel far = channel(-1);
        String queue = queue(near, null);
        far.basicQos(2);
        BlockingQueue<Delivery> deliveries = consume(far, queue);
        for (int number = 0; number < 6; number++) {
            near.basicPublish("", queue, null, bytes(number));
        }
        Delivery one = next(deliveries);
        Delivery two = next(deliveries);
        Told.check(deliveries.poll(300, TimeUnit.MILLISECONDS) == null, "two at a time");
        far.basicAck(two.getEnvelope().getDeliveryTag(), true);
        Told.equal(new String(next(deliveries).getBody()), "2");
        Told.equal(new String(one.getBody()), "0");
        close(far);
        for (int number = 2; number < 6; number++) {
            GetResponse again = take(near, queue, true);
            Told.equal(new String(again.getBody()), String.valueOf(number));
        }
        near.queueDelete(queue);
        close(near);
    }

    private static void transactions() throws Exception {
        Channel channel = channel(0);
        Channel far = channel(-1);
        String queue = queue(channel, null);
        channel.txSelect();
        channel.basicPublish("", queue, null, bytes("rolled back"));
        channel.txRollback();
        channel.basicPublish("", queue, null, bytes("kept"));
        Told.equal(far.messageCount(queue), 0L);
        channel.txCommit();
        GetResponse got = channel.basicGet(queue, false);
        Told.equal(new String(got.getBody()), "kept");
        channel.basicAck(got.getEnvelope().getDeliveryTag(), false);
        channel.txRollback();
        channel.basicNack(got.getEnvelope().getDeliveryTag(), false, true);
        channel.txCommit();
        Told.equal(new String(take(far, queue, true).getBody()), "kept");
        channel.queueDelete(queue);
        close(channel, far);
    }

    private static void rpc() throws Exception {
        Channel server = channel(-1);
        String queue = queue(server, null);
        Thread serving = new Thread(() -> {
            try {
                new RpcServer(server, queue) {
                    @Override
                    public byte[] handleCall(byte[] request, AMQP.BasicProperties reply) {
                        return (new String(request) + "!").getBytes();
                    }
                }.mainloop();
            } catch (Exception over) {
                // The case has ended and closed its connection.
            }
        });
        serving.setDaemon(true);
        serving.start();
        Channel client = channel(0);
        for (String replyTo : new String[] {"amq.rabbitmq.reply-to", client.queueDeclare().getQueue()}) {
            RpcClient calls = new RpcClient(
                new RpcClientParams().channel(client).exchange("").routingKey(queue).replyTo(replyTo).timeout(20_000));
            for (int number = 0; number < 20; number++) {
                Told.equal(calls.stringCall("call " + number), "call " + number + "!");
            }
            calls.close();
        }
        client.queueDelete(queue);
        close(client, server);
    }

    private static void recovery() throws Exception {
        Proxy proxy = new Proxy(factory(0));
        ConnectionFactory through = factory(0);
        through.setHost("127.0.0.1");
        through.setPort(proxy.port());
        AutorecoveringConnection connection = (AutorecoveringConnection) through.newConnection();
        BlockingQueue<Boolean> recovered = new LinkedBlockingQueue<>();
        connection.addRecoveryListener(new com.rabbitmq.client.RecoveryListener() {
            @Override
            public void handleRecovery(com.rabbitmq.client.Recoverable one) {
                recovered.add(true);
            }

            @Override
            public void handleRecoveryStarted(com.rabbitmq.client.Recoverable one) { }
        });
        Channel channel = connection.createChannel();
        String exchange = Told.name("java-recovered");
        channel.exchangeDeclare(exchange, BuiltinExchangeType.FANOUT, false, true, null);
        String queue = channel.queueDeclare("", false, true, true, null).getQueue();
        channel.queueBind(queue, exchange, "");
        BlockingQueue<Delivery> deliveries = consume(channel, queue);
        for (int round = 0; round < 3; round++) {
            channel.basicPublish(exchange, "", null, bytes(round));
            Delivery delivery = next(deliveries);
            Told.equal(new String(delivery.getBody()), String.valueOf(round));
            channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
            proxy.cut();
            Told.check(recovered.poll(20, TimeUnit.SECONDS) != null, "recovered");
        }
        connection.close();
        proxy.close();
    }

    private static void unackedComeBack() throws Exception {
        Channel victim = channel(0);
        Channel watcher = channel(-1);
        String queue = queue(watcher, null);
        watcher.basicPublish("", queue, null, bytes("x"));
        take(victim, queue, false);
        victim.getConnection().abort();
        GetResponse again = take(watcher, queue, true);
        Told.check(again.getEnvelope().isRedeliver(), "redelivered");
        watcher.queueDelete(queue);
        close(watcher);
    }

    private static void limits() throws Exception {
        ConnectionFactory factory = factory(0);
        factory.setRequestedChannelMax(4);
        factory.setRequestedFrameMax(8192);
        factory.setRequestedHeartbeat(3);
        Connection connection = factory.newConnection();
        Told.equal(List.of(connection.getChannelMax(), connection.getFrameMax(), connection.getHeartbeat()), List.of(4, 8192, 3));
        Channel channel = connection.createChannel();
        String queue = queue(channel, null);
        channel.basicPublish("", queue, null, new byte[100_000]);
        Told.equal(take(channel, queue, true).getBody().length, 100_000);
        Thread.sleep(7_000);
        channel.queueDelete(queue);
        connection.close();
    }

    private static void unexpectedFrames() throws Exception {
        String[] address = addresses[0].split(":");
        try (Socket raw = new Socket(address[0], Integer.parseInt(address[1]))) {
            raw.setSoTimeout(20_000);
            raw.getOutputStream().write(new byte[] {'A', 'M', 'Q', 'P', 0, 0, 9, 1});
            DataInputStream in = new DataInputStream(raw.getInputStream());
            Told.equal(in.readUnsignedByte(), 1);
            in.readUnsignedShort();
            in.readFully(new byte[in.readInt() + 1]);
            // A frame of an unknown type, which no client could send.
            raw.getOutputStream().write(new byte[] {99, 0, 0, 0, 0, 0, 0, (byte) 206});
            try {
                while (in.read() >= 0) {
                    // It tells why, or only closes.
                }
            } catch (java.net.SocketException reset) {
                Told.check(reset.getMessage().contains("reset"), reset);
            }
        }
    }

    private static void deadLetters() throws Exception {
        Channel channel = channel(0);
        String grave = queue(channel, null);
        String queue = queue(channel, Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", grave));
        channel.basicPublish("", queue, null, bytes("x"));
        channel.basicReject(take(channel, queue, false).getEnvelope().getDeliveryTag(), false);
        Map<String, Object> headers = take(channel, grave, true).getProps().getHeaders();
        Map<?, ?> death = (Map<?, ?>) ((List<?>) headers.get("x-death")).get(0);
        Told.equal(death.get("reason").toString(), "rejected");
        Told.equal(death.get("count"), 1L);
        Told.check(death.get("time") instanceof Date, death.get("time"));
        channel.queueDelete(queue);
        channel.queueDelete(grave);
        close(channel);
    }

    private static void queueTypes() throws Exception {
        for (String type : new String[] {"classic", "quorum"}) {
            Channel near = channel(0);
            near.confirmSelect();
            String queue = queue(near, Map.of("x-queue-type", type));
            for (int number = 0; number < 200; number++) {
                near.basicPublish("", queue, com.rabbitmq.client.MessageProperties.PERSISTENT_BASIC, bytes(number));
            }
            near.waitForConfirmsOrDie(20_000);
            Channel far = channel(-1);
            BlockingQueue<Delivery> deliveries = consume(far, queue);
            for (int number = 0; number < 200; number++) {
                Delivery delivery = next(deliveries);
                Told.equal(new String(delivery.getBody()), String.valueOf(number));
                far.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
            }
            near.queueDelete(queue);
            close(near, far);
        }
    }

    private static void closedChannel() throws Exception {
        Channel channel = channel(0);
        channel.basicPublish(Told.name("none"), "k", null, bytes("x"));
        Told.eventually("the channel is closed", () -> !channel.isOpen());
        try {
            channel.basicPublish("", "k", null, bytes("x"));
            throw new AssertionError("it is closed");
        } catch (AlreadyClosedException closed) {
            Told.check(closed.getMessage().contains("404"), closed.getMessage());
        }
        close(channel);
    }

    private static void envelope() throws Exception {
        Channel channel = channel(0);
        String queue = queue(channel, null);
        channel.queueBind(queue, "amq.topic", "a." + queue);
        channel.basicPublish("amq.topic", "a." + queue, null, bytes("x"));
        Envelope got = take(channel, queue, true).getEnvelope();
        Told.equal(got.getExchange() + " " + got.getRoutingKey(), "amq.topic a." + queue);
        channel.queueDelete(queue);
        close(channel);
    }

    /** Runs all. */
    public static void main(String[] arguments) throws Exception {
        addresses = arguments[1].split(",");
        Told told = new Told();
        told.add("properties", Client::properties);
        told.add("header-types", Client::headerTypes);
        told.add("envelope", Client::envelope);
        told.add("confirms", Client::confirms);
        told.add("confirms-one-by-one", Client::confirmsOneByOne);
        told.add("returns-before-confirms", Client::returnsBeforeConfirms);
        told.add("rules", Client::rules);
        told.add("closed-channel", Client::closedChannel);
        told.add("exclusive-queue", Client::exclusiveQueue);
        told.add("cancel-notification", Client::cancelNotification);
        told.add("prefetch", Client::prefetch);
        told.add("transactions", Client::transactions);
        told.add("rpc", Client::rpc);
        told.add("recovery", Client::recovery);
        told.add("unacked-come-back", Client::unackedComeBack);
        told.add("limits", Client::limits);
        told.add("unexpected-frames", Client::unexpectedFrames);
        told.add("dead-letters", Client::deadLetters);
        told.add("queue-types", Client::queueTypes);
        told.run(String.valueOf(com.rabbitmq.client.impl.ClientVersion.VERSION));
    }
}
