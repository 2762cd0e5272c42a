"""Idempotent producer that records what became of every line of its input.

Reads lines `NNNNNNNNNN text` from standard input, sends line N to partition N modulo
--partitions, and writes one JSON object a line to --acks: {"seq", "partition", "offset"} once
acknowledged, {"seq", "error"} once given up. Prints `acked N` while it works.
"""

import argparse
import sys
import time

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

SEQ_DIGITS = 10
REPORT_SECONDS = 0.05


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--acks", required=True)
    parser.add_argument("--codec", default="none")
    parser.add_argument("--partitions", type=int, default=1)
    return parser.parse_args()


def create_topic(options):
    admin = AdminClient({"bootstrap.servers": options.bootstrap})
    topic = NewTopic(options.topic, num_partitions=options.partitions, replication_factor=1)
    for future in admin.create_topics([topic], request_timeout=30).values():
        future.result()


class Reports:
    """Delivery reports, to the file and as a count."""

    def __init__(self, path):
        self.file = open(path, "w", buffering=1 << 16)
        self.acked = 0
        self.next_report = 0.0

    def callback(self, seq):
        def on_delivery(error, message):
            if error is None:
                self.acked += 1
                self.file.write(
                    '{"seq":%d,"partition":%d,"offset":%d}\n'
                    % (seq, message.partition(), message.offset())
                )
            else:
                self.file.write('{"seq":%d,"error":"%s"}\n' % (seq, error.name()))

        return on_delivery

    def tell(self):
        now = time.monotonic()
        if now >= self.next_report:
            self.next_report = now + REPORT_SECONDS
            print("acked", self.acked, flush=True)


def main():
    options = arguments()
    create_topic(options)
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "enable.idempotence": True,
            "compression.type": options.codec,
            "linger.ms": 5,
            "message.timeout.ms": 600000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "retry.backoff.ms": 20,
            "log_level": 3,
        }
    )
    reports = Reports(options.acks)
    for line in sys.stdin.buffer:
        value = line.rstrip(b"\n")
        seq = int(value[:SEQ_DIGITS])
        callback = reports.callback(seq)
        while True:
            try:
                producer.produce(
                    options.topic, value, partition=seq % options.partitions, on_delivery=callback
                )
                break
            except BufferError:
                producer.poll(0.05)
                reports.tell()
            except KafkaException as error:
                print("producer:", error, file=sys.stderr, flush=True)
                reports.file.close()
                sys.exit(1)
        producer.poll(0)
        reports.tell()
    while producer.flush(REPORT_SECONDS) > 0:
        reports.tell()
    reports.next_report = 0.0
    reports.tell()
    reports.file.close()


main()
