"""Real clients that write down what they did: see interop/src/history/event.rs for the lines.

    history.py produce   sends numbered values to all partitions at a steady rate
    history.py transact  sends them in transactions, of which it aborts some
    history.py consume   reads as a member of a group and commits
    history.py follow    reads every partition from offset 0 on, without a group
    history.py copy      copies a topic in transactions that commit the group's place as well
    history.py final     reads every partition from offset 0 to its end

Each works until its standard input ends, or, with `final`, until it has read everything.
"""

import argparse

from consuming import Consuming
from copying import Copying
from final import read_everything
from producing import Producing
from transacting import Transacting

ROLES = {
    "produce": Producing,
    "transact": Transacting,
    "consume": Consuming,
    "follow": Consuming,
    "copy": Copying,
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=[*ROLES, "final"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--process", required=True)
    parser.add_argument("--history", required=True)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--first-key", type=int, default=0, help="what partition 0 is called")
    parser.add_argument("--replication", type=int, default=-1)
    parser.add_argument("--rate", type=float, default=500.0, help="messages a second")
    parser.add_argument("--value-bytes", type=int, default=200)
    parser.add_argument("--message-keys", type=int, default=0, help="compact; so many keys")
    parser.add_argument("--transactional-id", default="")
    parser.add_argument("--to", default="", help="the topic of the copies")
    parser.add_argument("--as-copies", action="store_true", help="what is read are copies")
    parser.add_argument("--earlier-errors", type=int, default=0, help="it goes on after those")
    parser.add_argument("--limit-seconds", type=float, default=300.0)
    parser.add_argument("--until", default="", help="KEY:OFFSET,... that must be read")
    return parser.parse_args()


def main():
    options = arguments()
    if options.role == "final":
        read_everything(options)
    else:
        ROLES[options.role](options).run()


main()
