"""Declares a durable queue, or asks for it, and prints how many messages wait in it."""

import argparse

import pika


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("queue")
    parser.add_argument("--declare", action="store_true")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port)))
    channel = connection.channel()
    passive = not options.declare
    answer = channel.queue_declare(options.queue, durable=True, passive=passive)
    print(answer.method.message_count)
    connection.close()


if __name__ == "__main__":
    main()
