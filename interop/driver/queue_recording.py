"""What clients of queues share: the file of events, connections, messages."""

import json
import os
import sys
import threading
import time

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError
from recording import payload, value_of

# How a client learns that its connection or channel is gone, or cannot be had.
LOST = (AMQPError, AMQPConnectorException, OSError)
# Whoever is silent for so long is given up by the other side.
HEARTBEAT_SECONDS = 4
CONNECT_SECONDS = 3
RECONNECT_SECONDS = 0.1


class History:
    """One file of events. Each is with the kernel before what it tells is done."""

    def __init__(self, options):
        self.process = options.process
        self.file = os.open(options.history, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.lock = threading.Lock()
        self.session_count = 0

    def write(self, kind, action, **fields):
        event = {"process": self.process, "type": kind, "f": action, **fields}
        with self.lock:
            event["time_ns"] = time.monotonic_ns()
            os.write(self.file, (json.dumps(event, separators=(",", ":")) + "\n").encode())

    def next_session(self):
        with self.lock:
            self.session_count += 1
            return self.session_count


class Nodes:
    """Where to connect: to one node after another."""

    def __init__(self, options, turn):
        self.nodes = options.nodes.split(",")
        self.turn = turn

    def next(self):
        host, _, port = self.nodes[self.turn % len(self.nodes)].rpartition(":")
        self.turn += 1
        return pika.ConnectionParameters(
            host,
            int(port),
            heartbeat=HEARTBEAT_SECONDS,
            connection_attempts=1,
            socket_timeout=CONNECT_SECONDS,
            stack_timeout=CONNECT_SECONDS,
        )


last_error = None


def tell_error(what, error):
    """Writes an error to the log, unless the last one was the same."""
    global last_error
    text = "%s: %r" % (what, error)
    if text != last_error:
        last_error = text
        print("%.3f %s" % (time.monotonic(), text), file=sys.stderr, flush=True)


def headers_of(value, fate):
    return {"fate": fate, "value": value, "nested": {"list": [1, "two", True]}, "bytes": b"\x00\xff"}


def properties_of(value, fate, ttl_ms, delay_ms):
    delay = {} if delay_ms is None else {"x-delay": delay_ms}
    return pika.BasicProperties(
        content_type="text/plain",
        delivery_mode=2,
        message_id=value,
        headers={**headers_of(value, fate), **delay},
        expiration=None if ttl_ms is None else str(ttl_ms),
    )


class Message:
    """A delivery: what it is, what is to be done with it, and what became of it before."""

    def __init__(self, method, properties, body):
        self.tag = method.delivery_tag
        self.redelivered = method.redelivered
        self.value = value_of(body)
        headers = dict(properties.headers or {})
        self.fate = headers.get("fate", "ack")
        self.deaths = headers.pop("x-death", None)
        for key in [key for key in headers if key.startswith("x-")]:
            del headers[key]
        found = (properties.content_type, properties.delivery_mode, properties.message_id, headers)
        sent = ("text/plain", 2, self.value, headers_of(self.value, self.fate))
        if found != sent:
            self.value = "damaged %s: %r" % (self.value, found)

    def tell(self, history, session):
        fields = {"redelivered": True} if self.redelivered else {}
        if self.deaths:
            fields["reason"] = self.deaths[0].get("reason", "none")
            fields["deaths"] = sum(death.get("count", 0) for death in self.deaths)
        history.write("ok", "deliver", session=session, value=self.value, **fields)

    def settlement(self, may_crash):
        """ack, reject, requeue or crash."""
        if self.deaths:
            return "ack"
        if self.fate in ("reject", "expire"):
            return "reject"
        if self.fate == "poison":
            return "requeue"
        if self.redelivered or self.fate == "ack":
            return "ack"
        if self.fate == "later":
            return "requeue"
        return "crash" if may_crash else "ack"


def body_of(value, size):
    return payload(value, size)
