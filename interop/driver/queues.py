"""Real clients of queues that write down what they did: see interop/src/queue_history/event.rs.

    queues.py setup     makes the queues of a run, and writes down what they are
    queues.py publish   publishes numbered values with confirms at a steady rate
    queues.py consume   consumes queues, each on a connection of its own
    queues.py drain     consumes all queues until they are empty

Publishers and consumers work until their standard input ends.
"""

import argparse
import sys
import time

import pika
from queue_consuming import Consuming
from queue_draining import Draining
from queue_publishing import Publishing
from queue_recording import LOST, RECONNECT_SECONDS, History, Nodes, tell_error
from queue_workload import Names, declare, describe

ROLES = {"publish": Publishing, "consume": Consuming, "drain": Draining}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["setup", *ROLES])
    parser.add_argument("--nodes", required=True, help="HOST:PORT,...")
    parser.add_argument("--turn", type=int, default=0, help="the node to begin with")
    parser.add_argument("--prefix", required=True, help="begin of the names of queues")
    parser.add_argument("--process", required=True)
    parser.add_argument("--history", required=True)
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second")
    parser.add_argument("--value-bytes", type=int, default=200)
    parser.add_argument("--queues", default="", help="to consume; all if none is named")
    parser.add_argument("--gets", default="", help="of them those that are asked for each message")
    parser.add_argument("--limit-seconds", type=float, default=60.0)
    return parser.parse_args()


def set_up(options, history):
    nodes = Nodes(options, options.turn)
    end = time.monotonic() + options.limit_seconds
    while True:
        try:
            connection = pika.BlockingConnection(nodes.next())
            declare(connection.channel(), Names(options.prefix))
            connection.close()
            break
        except LOST as error:
            if time.monotonic() > end:
                sys.exit("set up: %r" % error)
            tell_error("set up", error)
            time.sleep(RECONNECT_SECONDS)
    describe(history)


def main():
    options = arguments()
    history = History(options)
    if options.role == "setup":
        set_up(options, history)
    else:
        ROLES[options.role](options, history).run()


main()
