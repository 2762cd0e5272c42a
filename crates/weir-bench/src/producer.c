/* Produces to the first partitions in turns, as fast as librdkafka takes messages, with acks=all, and prints the
 * seconds from the first message to the last acknowledgement. Settings other than these are
 * librdkafka's own: linger.ms=5, batch.size=1000000. */

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned long long acknowledged;
static unsigned long long refused;

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    (void)opaque;
    if (message->err)
        refused++;
    else
        acknowledged++;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "%s=%s: %s\n", name, value, error);
        exit(2);
    }
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Hands over `count` messages and waits until all are answered. */
static void produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, char *value, size_t size,
                    unsigned long long count, unsigned partitions) {
    for (unsigned long long sent = 0; sent < count;) {
        if (rd_kafka_produce(topic, (int32_t)(sent % partitions), RD_KAFKA_MSG_F_COPY, value, size,
                             NULL, 0, NULL) == 0) {
            sent++;
            if (sent % 1024 == 0)
                rd_kafka_poll(rk, 0);
        } else if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            rd_kafka_poll(rk, 10);
        } else {
            fprintf(stderr, "%s\n", rd_kafka_err2str(rd_kafka_last_error()));
            exit(1);
        }
    }
    rd_kafka_flush(rk, 120000);
}

int main(int argc, char **argv) {
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: producer BROKER TOPIC COUNT BYTES [PARTITIONS]\n");
        return 2;
    }
    unsigned long long count = strtoull(argv[3], NULL, 10);
    size_t size = strtoull(argv[4], NULL, 10);
    unsigned partitions = argc == 6 ? (unsigned)strtoul(argv[5], NULL, 10) : 1;
    char *value = malloc(size);
    if (!value || partitions == 0)
        return 2;
    memset(value, 'w', size);

    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "acks", "all");
    set(conf, "queue.buffering.max.messages", "500000");
    set(conf, "queue.buffering.max.kbytes", "1048576");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    char error[256];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!rk) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[2], NULL);

    /* The first message has the topic made. */
    produce(rk, topic, value, size, 1, 1);
    double start = now_s();
    produce(rk, topic, value, size, count, partitions);
    double end = now_s();
    if (refused > 0 || acknowledged != count + 1) {
        fprintf(stderr, "%llu acknowledged of %llu, %llu refused\n", acknowledged, count + 1,
                refused);
        return 1;
    }
    printf("%.6f\n", end - start);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    free(value);
    return 0;
}
