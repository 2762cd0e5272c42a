import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.amqp.AmqpRejectAndDontRequeueException;
import org.springframework.amqp.core.AcknowledgeMode;
import org.springframework.amqp.core.AnonymousQueue;
import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.Declarables;
import org.springframework.amqp.core.DirectExchange;
import org.springframework.amqp.core.FanoutExchange;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageBuilder;
import org.springframework.amqp.core.MessageListener;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.core.QueueInformation;
import org.springframework.amqp.core.ReturnedMessage;
import org.springframework.amqp.rabbit.annotation.EnableRabbit;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.amqp.rabbit.config.SimpleRabbitListenerContainerFactory;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.listener.AbstractMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.DirectMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.SimpleMessageListenerContainer;
import org.springframework.amqp.rabbit.transaction.RabbitTransactionManager;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.transaction.support.TransactionTemplate;

/** An application on Spring AMQP: listener containers, retries with dead letters, RPC, confirms, returns. DIRECTORY ADDRESSES. */
public final class SpringApp {
    private static final String RUN = Told.name("spring");
    private static String addresses;
    private static final BlockingQueue<String> ORDERS = new LinkedBlockingQueue<>();
    private static final AtomicInteger ATTEMPTS = new AtomicInteger();

    private static CachingConnectionFactory connections() {
        CachingConnectionFactory factory = new CachingConnectionFactory();
        factory.setAddresses(addresses);
        factory.setPublisherConfirmType(CachingConnectionFactory.ConfirmType.CORRELATED);
        factory.setPublisherReturns(true);
        return factory;
    }

    /** What most applications have: queues with a waiting room, an admin that declares, annotated listeners. */
    @Configuration
    @EnableRabbit
    static class Application {
        @Bean
        CachingConnectionFactory connectionFactory() {
            return connections();
        }

        @Bean
        RabbitAdmin admin(CachingConnectionFactory factory) {
            return new RabbitAdmin(factory);
        }

        @Bean
        RabbitTemplate template(CachingConnectionFactory factory) {
            RabbitTemplate template = new RabbitTemplate(factory);
            template.setMandatory(true);
            template.setReplyTimeout(20_000);
            return template;
        }

        @Bean
        SimpleRabbitListenerContainerFactory rabbitListenerContainerFactory(CachingConnectionFactory factory) {
            SimpleRabbitListenerContainerFactory containers = new SimpleRabbitListenerContainerFactory();
            containers.setConnectionFactory(factory);
            containers.setPrefetchCount(10);
            containers.setConcurrentConsumers(2);
            containers.setDefaultRequeueRejected(false);
            return containers;
        }

        @Bean
        Declarables topology() {
            DirectExchange work = new DirectExchange(RUN + ".work", true, false);
            DirectExchange waiting = new DirectExchange(RUN + ".waiting", true, false);
            Queue orders = QueueBuilder.durable(RUN + ".orders").deadLetterExchange(RUN + ".waiting")
                .deadLetterRoutingKey("orders").build();
            Queue wait = QueueBuilder.durable(RUN + ".orders.wait").ttl(200).deadLetterExchange(RUN + ".work")
                .deadLetterRoutingKey("orders").build();
            Queue parked = QueueBuilder.durable(RUN + ".orders.parked").quorum().build();
            Queue sums = QueueBuilder.durable(RUN + ".sums").build();
            return new Declarables(work, waiting, orders, wait, parked, sums,
                BindingBuilder.bind(orders).to(work).with("orders"),
                BindingBuilder.bind(parked).to(work).with("parked"),
                BindingBuilder.bind(wait).to(waiting).with("orders"));
        }

        @Bean
        Listeners listeners(RabbitTemplate template) {
            return new Listeners(template);
        }
    }

    static class Listeners {
        private final RabbitTemplate template;

        Listeners(RabbitTemplate template) {
            this.template = template;
        }

        @RabbitListener(queues = "#{@topology.getDeclarablesByType(T(org.springframework.amqp.core.Queue)).get(0).name}")
        void order(Message message) {
            String order = new String(message.getBody());
            if (!order.startsWith("bad")) {
                ORDERS.add(order);
                return;
            }
            ATTEMPTS.incrementAndGet();
            List<Map<String, ?>> deaths = message.getMessageProperties().getXDeathHeader();
            long rejected = deaths == null ? 0 : deaths.stream().filter(death -> "rejected".equals(death.get("reason")))
                .mapToLong(death -> (Long) death.get("count")).sum();
            if (rejected >= 3) {
                template.send(RUN + ".work", "parked", message);
                return;
            }
            throw new AmqpRejectAndDontRequeueException("try it later");
        }

        @RabbitListener(queues = "#{@topology.getDeclarablesByType(T(org.springframework.amqp.core.Queue)).get(3).name}")
        String sum(String numbers) {
            int sum = 0;
            for (String number : numbers.split(" ")) {
                sum += Integer.parseInt(number);
            }
            return String.valueOf(sum);
        }
    }

    private static <T> T next(BlockingQueue<T> queue, String what) throws Exception {
        T one = queue.poll(30, TimeUnit.SECONDS);
        Told.check(one != null, what + " within 30 s");
        return one;
    }

    private static void listeners(RabbitTemplate template) throws Exception {
        for (int number = 0; number < 100; number++) {
            template.convertAndSend(RUN + ".work", "orders", "order " + number);
        }
        java.util.TreeSet<String> seen = new java.util.TreeSet<>();
        while (seen.size() < 100) {
            Told.check(seen.add(next(ORDERS, "an order")), "each once");
        }
    }

    private static void retries(RabbitTemplate template) throws Exception {
        template.convertAndSend(RUN + ".work", "orders", "bad one");
        Message parked = template.receive(RUN + ".orders.parked", 30_000);
        Told.check(parked != null, "parked within 30 s");
        Told.equal(ATTEMPTS.get(), 4);
        List<Map<String, ?>> deaths = parked.getMessageProperties().getXDeathHeader();
        Told.equal(deaths.size(), 2);
        for (Map<String, ?> death : deaths) {
            Told.equal(death.get("count"), 3L);
        }
    }

    private static void rpc(RabbitTemplate template) throws Exception {
        for (int number = 0; number < 20; number++) {
            Told.equal(template.convertSendAndReceive("", RUN + ".sums", "1 2 " + number), String.valueOf(3 + number));
        }
    }

    private static void rpcByTemporaryQueues(CachingConnectionFactory factory) throws Exception {
        RabbitTemplate template = new RabbitTemplate(factory);
        template.setUseTemporaryReplyQueues(true);
        template.setReplyTimeout(20_000);
        Told.equal(template.convertSendAndReceive("", RUN + ".sums", "4 5"), "9");
    }

    private static void confirms(CachingConnectionFactory factory) throws Exception {
        RabbitTemplate template = new RabbitTemplate(factory);
        Queue queue = new Queue(RUN + ".confirmed");
        new RabbitAdmin(factory).declareQueue(queue);
        for (int number = 0; number < 50; number++) {
            CorrelationData correlation = new CorrelationData("c" + number);
            template.convertAndSend("", queue.getName(), "x", correlation);
            Told.check(correlation.getFuture().get(20, TimeUnit.SECONDS).ack(), "acknowledged");
        }
        CorrelationData refused = new CorrelationData("none");
        template.convertAndSend(Told.name("none"), "k", "x", refused);
        Told.check(!refused.getFuture().get(20, TimeUnit.SECONDS).ack(), "there is no such exchange");
        Told.equal(new RabbitAdmin(factory).getQueueInfo(queue.getName()).getMessageCount(), 50L);
        new RabbitAdmin(factory).deleteQueue(queue.getName());
    }

    private static void returns(CachingConnectionFactory factory) throws Exception {
        RabbitTemplate template = new RabbitTemplate(factory);
        template.setMandatory(true);
        BlockingQueue<ReturnedMessage> returned = new LinkedBlockingQueue<>();
        template.setReturnsCallback(returned::add);
        CorrelationData correlation = new CorrelationData("r");
        template.convertAndSend(RUN + ".work", "nowhere", "x", correlation);
        Told.check(correlation.getFuture().get(20, TimeUnit.SECONDS).ack(), "acknowledged though it came back");
        Told.check(correlation.getReturned() != null, "it came back before it was acknowledged");
        Told.equal(next(returned, "a return").getReplyCode(), 312);
    }

    private static void anonymousQueues(CachingConnectionFactory factory) throws Exception {
        RabbitAdmin admin = new RabbitAdmin(factory);
        FanoutExchange news = new FanoutExchange(RUN + ".news", false, true);
        admin.declareExchange(news);
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        DirectMessageListenerContainer[] containers = new DirectMessageListenerContainer[2];
        for (int at = 0; at < 2; at++) {
            AnonymousQueue queue = new AnonymousQueue();
            admin.declareQueue(queue);
            admin.declareBinding(BindingBuilder.bind(queue).to(news));
            containers[at] = new DirectMessageListenerContainer(factory);
            start(containers[at], queue.getName(), message -> heard.add(new String(message.getBody())));
        }
        new RabbitTemplate(factory).convertAndSend(news.getName(), "", "hello");
        Told.equal(next(heard, "news") + next(heard, "news"), "hellohello");
        for (DirectMessageListenerContainer container : containers) {
            container.stop();
        }
    }

    private static void start(AbstractMessageListenerContainer container, String queue, MessageListener listener) {
        container.setQueueNames(queue);
        container.setMessageListener(listener);
        container.afterPropertiesSet();
        container.start();
    }

    private static void deletedQueue(CachingConnectionFactory factory) throws Exception {
        RabbitAdmin admin = new RabbitAdmin(factory);
        Queue queue = new Queue(RUN + ".deleted");
        admin.declareQueue(queue);
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(factory);
        container.setMissingQueuesFatal(false);
        container.setRecoveryInterval(200);
        container.setFailedDeclarationRetryInterval(200);
        start(container, queue.getName(), message -> heard.add(new String(message.getBody())));
        RabbitTemplate template = new RabbitTemplate(factory);
        template.convertAndSend(queue.getName(), "before");
        Told.equal(next(heard, "the first"), "before");
        admin.deleteQueue(queue.getName());
        Thread.sleep(500);
        admin.declareQueue(queue);
        template.convertAndSend(queue.getName(), "after");
        Told.equal(next(heard, "the second"), "after");
        container.stop();
        admin.deleteQueue(queue.getName());
    }

    private static void priorities(CachingConnectionFactory factory) throws Exception {
        RabbitAdmin admin = new RabbitAdmin(factory);
        Queue queue = QueueBuilder.durable(RUN + ".priority").maxPriority(10).singleActiveConsumer().build();
        admin.declareQueue(queue);
        RabbitTemplate template = new RabbitTemplate(factory);
        for (int priority : new int[] {1, 5, 9}) {
            CorrelationData stored = new CorrelationData();
            Message message = MessageBuilder.withBody(String.valueOf(priority).getBytes()).setPriority(priority).build();
            template.send("", queue.getName(), message, stored);
            Told.check(stored.getFuture().get(20, TimeUnit.SECONDS).ack(), "stored");
        }
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(factory);
        container.setPrefetchCount(1);
        container.setConsumerArguments(Map.of("x-priority", 3));
        start(container, queue.getName(), message -> heard.add(new String(message.getBody())));
        Told.equal(next(heard, "first") + next(heard, "second") + next(heard, "third"), "951");
        container.stop();
        admin.deleteQueue(queue.getName());
    }

    private static void transactions(CachingConnectionFactory confirming) throws Exception {
        // A channel with confirms takes no transaction.
        CachingConnectionFactory factory = new CachingConnectionFactory();
        factory.setAddresses(addresses);
        RabbitAdmin admin = new RabbitAdmin(factory);
        Queue queue = new Queue(RUN + ".transacted");
        admin.declareQueue(queue);
        RabbitTemplate template = new RabbitTemplate(factory);
        template.setChannelTransacted(true);
        TransactionTemplate transaction = new TransactionTemplate(new RabbitTransactionManager(factory));
        transaction.executeWithoutResult(status -> {
            template.convertAndSend(queue.getName(), "kept");
        });
        transaction.executeWithoutResult(status -> {
            template.convertAndSend(queue.getName(), "rolled back");
            Told.equal(template.receiveAndConvert(queue.getName(), 5_000), "kept");
            status.setRollbackOnly();
        });
        QueueInformation found = admin.getQueueInfo(queue.getName());
        Told.equal(found.getMessageCount(), 1L);
        Told.equal(template.receiveAndConvert(queue.getName(), 5_000), "kept");
        admin.deleteQueue(queue.getName());
        factory.destroy();
    }

    private static void redelivery(CachingConnectionFactory factory) throws Exception {
        RabbitAdmin admin = new RabbitAdmin(factory);
        Queue queue = QueueBuilder.durable(RUN + ".redelivered").quorum().deliveryLimit(3).build();
        admin.declareQueue(queue);
        BlockingQueue<Boolean> heard = new LinkedBlockingQueue<>();
        SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(factory);
        container.setAcknowledgeMode(AcknowledgeMode.AUTO);
        start(container, queue.getName(), message -> {
            heard.add(message.getMessageProperties().isRedelivered());
            if (!message.getMessageProperties().isRedelivered()) {
                throw new IllegalStateException("once more");
            }
        });
        new RabbitTemplate(factory).convertAndSend(queue.getName(), "x");
        Told.equal(next(heard, "the first"), false);
        Told.equal(next(heard, "the second"), true);
        container.stop();
        admin.deleteQueue(queue.getName());
    }

    private static void cleanUp(RabbitAdmin admin, Declarables topology) {
        for (Queue queue : topology.getDeclarablesByType(Queue.class)) {
            admin.deleteQueue(queue.getName());
        }
        for (DirectExchange exchange : topology.getDeclarablesByType(DirectExchange.class)) {
            admin.deleteExchange(exchange.getName());
        }
        Told.check(topology.getDeclarablesByType(Binding.class).size() == 3, "bindings");
    }

    /** Runs all. */
    public static void main(String[] arguments) throws Exception {
        addresses = arguments[1];
        AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext(Application.class);
        RabbitTemplate template = context.getBean(RabbitTemplate.class);
        CachingConnectionFactory factory = context.getBean(CachingConnectionFactory.class);
        Told told = new Told();
        told.add("listeners", () -> listeners(template));
        told.add("retries-with-dead-letters", () -> retries(template));
        told.add("rpc", () -> rpc(template));
        told.add("rpc-by-temporary-queues", () -> rpcByTemporaryQueues(factory));
        told.add("confirms", () -> confirms(factory));
        told.add("returns", () -> returns(factory));
        told.add("anonymous-queues", () -> anonymousQueues(factory));
        told.add("deleted-queue", () -> deletedQueue(factory));
        told.add("priorities", () -> priorities(factory));
        told.add("transactions", () -> transactions(factory));
        told.add("redelivery", () -> redelivery(factory));
        told.add("shutdown", () -> {
            cleanUp(context.getBean(RabbitAdmin.class), context.getBean(Declarables.class));
            context.close();
        });
        told.run("4.1.2");
    }
}
