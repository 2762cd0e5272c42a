import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** From RabbitMQ's client for Java to Kafka's, and back, by the tables of docs/mapping.md. DIRECTORY BOOTSTRAP; AMQP. */
public final class Doors {
    private static String bootstrap;
    private static String[] amqp;

    private static Channel channel(int node) throws Exception {
        String[] address = amqp[Math.floorMod(node, amqp.length)].split(":");
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(address[0]);
        factory.setPort(Integer.parseInt(address[1]));
        return factory.newConnection().createChannel();
    }

    private static String queue(Channel channel) throws Exception {
        return channel.queueDeclare(Told.name("doors"), true, false, false, null).getQueue();
    }

    /** A queue over a topic that was there before: it takes nothing from it. */
    private static String queueOverTopic(Channel channel) throws Exception {
        String name = Told.name("doors");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(name, 1, (short) -1))).all().get();
        }
        return channel.queueDeclare(name, true, false, false, null).getQueue();
    }

    private static void end(Channel channel, String queue) throws Exception {
        channel.queueDelete(queue);
        channel.getConnection().close();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static KafkaProducer<byte[], byte[]> producer(Map<String, Object> more) {
        Map<String, Object> config = new LinkedHashMap<>(more);
        config.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(String topic, int count, String isolation) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "isolation.level", isolation);
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            TopicPartition place = new TopicPartition(topic, 0);
            consumer.assign(List.of(place));
            consumer.seekToBeginning(List.of(place));
            long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
            while (records.size() < count) {
                Told.check(System.nanoTime() < end, records.size() + " of " + count + " records");
                consumer.poll(Duration.ofMillis(200)).forEach(records::add);
            }
        }
        return records;
    }

    private static GetResponse take(Channel channel, String queue) throws Exception {
        AtomicReference<GetResponse> got = new AtomicReference<>();
        Told.eventually("a message in " + queue, () -> {
            got.set(channel.basicGet(queue, true));
            return got.get() != null;
        });
        return got.get();
    }

    /** Every type of field that RabbitMQ's client writes, and the text that Kafka's reads of it. */
    private static void headers() throws Exception {
        Map<String, Object> sent = new LinkedHashMap<>();
        Map<String, String> expected = new LinkedHashMap<>();
        Object[][] table = {
            {"text", "é", "é"}, {"byte", (byte) -1, "-1"}, {"short", (short) -300, "-300"}, {"int", 70_000, "70000"},
            {"long", Long.MIN_VALUE, "-9223372036854775808"}, {"float", 1.5f, "1.5"}, {"double", -2.25, "-2.25"},
            {"nan", Double.NaN, "null"}, {"yes", true, "true"}, {"bytes", bytes("raw"), "raw"},
            {"decimal", new BigDecimal("-3.14"), "-3.14"}, {"time", new Date(1_700_000_000_000L), "1700000000"},
            {"list", List.of(1, "two"), "[1,\"two\"]"}, {"table", Map.of("deep", 1.5), "{\"deep\":1.5}"}, {"none", null, null},
        };
        for (Object[] row : table) {
            sent.put((String) row[0], row[1]);
            expected.put((String) row[0], (String) row[2]);
        }
        Channel channel = channel(0);
        String queue = queue(channel);
        channel.confirmSelect();
        channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().headers(sent).build(), bytes("x"));
        channel.waitForConfirmsOrDie(20_000);
        ConsumerRecord<byte[], byte[]> record = read(queue, 1, "read_committed").get(0);
        for (Map.Entry<String, String> entry : expected.entrySet()) {
            Header header = record.headers().lastHeader(entry.getKey());
            Told.check(header != null, entry.getKey());
            String text = header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8);
            Told.equal(entry.getKey() + " " + text, entry.getKey() + " " + entry.getValue());
        }
        end(channel, queue);
    }

    private static void fromKafka() throws Exception {
        Channel channel = channel(-1);
        String queue = queue(channel);
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("compression.type", "zstd"))) {
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(queue, 0, 1_700_000_000_123L, bytes("key"), bytes("body"));
            record.headers().add("text", bytes("é")).add("raw", new byte[] {-1}).add("content-type", bytes("a/b"));
            producer.send(record).get();
        }
        GetResponse got = take(channel, queue);
        AMQP.BasicProperties properties = got.getProps();
        Told.equal(new String(got.getBody()), "body");
        Told.equal(got.getEnvelope().getRoutingKey(), queue);
        Told.equal(properties.getContentType() + properties.getDeliveryMode(), "a/b2");
        Told.equal(properties.getTimestamp(), new Date(1_700_000_000_000L));
        Map<String, Object> headers = properties.getHeaders();
        Told.equal(headers.get("text").toString() + headers.get("weir-key"), "ékey");
        Told.check(headers.get("raw") instanceof byte[], headers.get("raw"));
        end(channel, queue);
    }

    private static void transactions() throws Exception {
        Channel channel = channel(0);
        String queue = queueOverTopic(channel);
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("transactional.id", Told.name("doors")))) {
            producer.initTransactions();
            for (String value : new String[] {"kept", "dropped", "kept too"}) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(queue, bytes(value)));
                if (value.equals("dropped")) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        Told.equal(new String(take(channel, queue).getBody()), "kept");
        Told.equal(new String(take(channel, queue).getBody()), "kept too");
        channel.txSelect();
        channel.basicPublish("", queue, null, bytes("rolled back"));
        channel.txRollback();
        channel.basicPublish("", queue, null, bytes("by AMQP"));
        channel.txCommit();
        Told.equal(new String(take(channel, queue).getBody()), "by AMQP");
        List<String> values = new ArrayList<>();
        read(queue, 3, "read_committed").forEach(record -> values.add(new String(record.value())));
        Told.equal(values, List.of("kept", "kept too", "by AMQP"));
        end(channel, queue);
    }

    /** Each transaction begins while the one before is being ended, and an aborted one may never have left the client. */
    private static void transactionsOneAfterTheOther() throws Exception {
        Channel channel = channel(0);
        String queue = queueOverTopic(channel);
        List<String> committed = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("transactional.id", Told.name("doors")))) {
            producer.initTransactions();
            for (int number = 0; number < 150; number++) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(queue, bytes("" + number)));
                if (number % 3 == 1) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                    committed.add("" + number);
                }
            }
        }
        List<String> taken = new ArrayList<>();
        for (int count = 0; count < committed.size(); count++) {
            taken.add(new String(take(channel, queue).getBody()));
        }
        Told.equal(taken, committed);
        end(channel, queue);
    }

    private static void keysAndReplay() throws Exception {
        Channel channel = channel(0);
        String queue = queueOverTopic(channel);
        for (int number = 0; number < 100; number++) {
            Map<String, Object> headers = Map.of("weir-key", "key " + number % 7);
            channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().headers(headers).build(), bytes("" + number));
        }
        for (int number = 0; number < 100; number++) {
            Told.equal(new String(take(channel, queue).getBody()), "" + number);
        }
        for (ConsumerRecord<byte[], byte[]> record : read(queue, 100, "read_uncommitted")) {
            Told.equal(new String(record.key()), "key " + Integer.parseInt(new String(record.value())) % 7);
        }
        end(channel, queue);
    }

    /** Runs all. */
    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[1];
        amqp = System.getenv("AMQP").split(",");
        Told told = new Told();
        told.add("headers", Doors::headers);
        told.add("from-kafka", Doors::fromKafka);
        told.add("transactions", Doors::transactions);
        told.add("transactions-one-after-the-other", Doors::transactionsOneAfterTheOther);
        told.add("keys-and-replay", Doors::keysAndReplay);
        told.run("5.37.1");
    }
}
