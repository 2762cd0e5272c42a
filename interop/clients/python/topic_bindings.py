"""Binds a queue to a topic exchange by many patterns, or publishes to it messages that one of them matches each."""

import argparse

import pika

EXCHANGE = "measured"
QUEUE = "measured"
# So many changes go out before the broker is asked whether it has them.
STEP_COUNT = 1_000


def bind(channel, first, end):
    """One binding per number, each with a pattern of its own."""
    for at in range(first, end):
        # Without a callback the client does not wait for an answer.
        channel._impl.queue_bind(QUEUE, EXCHANGE, f"region.{at}.*.#")
        if at % STEP_COUNT == STEP_COUNT - 1 or at == end - 1:
            channel.queue_declare(QUEUE, passive=True)


def publish(channel, count, binding_count):
    """Prints how many messages wait in the queue then."""
    for at in range(count):
        channel.basic_publish(EXCHANGE, f"region.{at * 7919 % binding_count}.order.placed", b"x" * 100)
    print(channel.queue_declare(QUEUE, passive=True).method.message_count)
    channel.queue_purge(QUEUE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--bind", type=int, nargs=2, metavar=("FIRST", "END"))
    parser.add_argument("--publish", type=int, nargs=2, metavar=("COUNT", "BINDINGS"))
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port), heartbeat=0))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(QUEUE, durable=True)
    if options.bind:
        bind(channel, *options.bind)
    if options.publish:
        publish(channel, *options.publish)
    connection.close()


if __name__ == "__main__":
    main()
