"""Cases of connections and channels."""

import socket
import struct
import time

import pika
from amqp_ground import ADDRESSES, channel, connect, parameters, put, queue, refused, take
from pika import credentials
from report import name_of


def server_properties():
    with channel() as ch:
        told = ch.connection._impl.server_properties
        assert told["product"] == "RabbitMQ", told
        assert [int(part) for part in told["version"].split(".")[:2]] >= [4, 0], told
        for name in [
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "consumer_priorities",
            "authentication_failure_close",
            "per_consumer_qos",
            "direct_reply_to",
        ]:
            assert told["capabilities"][name] is True, name


class AmqPlain(credentials.PlainCredentials):
    """What py-amqp and older clients log in by: a field table without its length."""

    TYPE = "AMQPLAIN"

    def response_for(self, start):
        def field(name, value):
            return bytes([len(name)]) + name + b"S" + struct.pack(">I", len(value)) + value

        return "AMQPLAIN", field(b"LOGIN", b"guest") + field(b"PASSWORD", b"guest")


def connect_plain_and_amqplain():
    assert connect().is_open
    credentials.VALID_TYPES.append(AmqPlain)
    try:
        assert connect(credentials=AmqPlain("guest", "guest")).is_open
    finally:
        credentials.VALID_TYPES.remove(AmqPlain)


def wrong_password():
    try:
        connect(credentials=pika.PlainCredentials("guest", "wrong"))
    except pika.exceptions.ProbableAuthenticationError as error:
        assert "403" in str(error), error
        return
    raise AssertionError("it let us in")


def unknown_vhost():
    try:
        connect(virtual_host=name_of("nowhere"))
    except pika.exceptions.ConnectionClosedByBroker as error:
        assert error.reply_code == 530, error
        return
    except pika.exceptions.ProbableAccessDeniedError as error:
        assert "530" in str(error), error
        return
    raise AssertionError("it let us in")


def tune():
    with channel(channel_max=7, frame_max=4096 * 2, heartbeat=30) as ch:
        limits = ch.connection._impl.params
        assert (limits.channel_max, limits.frame_max, limits.heartbeat) == (7, 8192, 30), limits
        with queue(ch) as name:
            put(ch, name, bytes(50_000))
            assert len(take(ch, name, 1)[0][2]) == 50_000


def wrong_protocol_header():
    with socket.create_connection(ADDRESSES[0], timeout=10) as raw:
        raw.sendall(b"AMQP\x00\x00\x0a\x01")
        raw.settimeout(10)
        assert raw.recv(8, socket.MSG_WAITALL) == b"AMQP\x00\x00\x09\x01"


def heartbeats_are_sent():
    connection = connect(heartbeat=2)
    before = connection._impl._heartbeat_checker.bytes_received_on_connection
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        connection.process_data_events(0.2)
    checker = connection._impl._heartbeat_checker
    assert checker.bytes_received_on_connection - before >= 16, "two heartbeats in four seconds"
    connection.close()


def silent_client_is_dropped():
    with socket.create_connection(ADDRESSES[0], timeout=10) as raw:
        raw.sendall(b"AMQP\x00\x00\x09\x01")
        raw.recv(4096)

        def method(channel, payload):
            raw.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

        answer = b"\0guest\0guest"
        start_ok = struct.pack(">HHI", 10, 11, 0) + b"\x05PLAIN" + struct.pack(">I", len(answer)) + answer + b"\x05en_US"
        method(0, start_ok)
        raw.recv(4096)
        method(0, struct.pack(">HHHIH", 10, 31, 2047, 131072, 1))
        method(0, struct.pack(">HH", 10, 40) + b"\x01/\x00\x00")
        raw.recv(4096)
        raw.settimeout(15)
        with_heartbeats = time.monotonic()
        try:
            while raw.recv(4096):
                pass
        except ConnectionResetError:
            pass
        assert time.monotonic() - with_heartbeats < 15


def channel_errors_leave_the_connection():
    with channel() as ch:
        refused(lambda: ch.queue_declare(name_of("missing"), passive=True), 404)
        assert ch.is_closed and ch.connection.is_open
        again = ch.connection.channel(ch.channel_number)
        with queue(again) as name:
            put(again, name, b"x")
            assert take(again, name, 1)[0][2] == b"x"


def many_channels():
    with channel(channel_max=200) as ch:
        others = [ch.connection.channel() for _ in range(150)]
        with queue(ch) as name:
            for one in others:
                put(one, name, b"%d" % one.channel_number)
            found = {body for _, _, body in take(ch, name, 150)}
        assert found == {b"%d" % one.channel_number for one in others}


def channel_opened_twice():
    connection = connect()
    impl = connection._impl
    frame = pika.frame.Method(1, pika.spec.Channel.Open())
    connection.channel(1)
    impl._send_frame(frame)
    refused(lambda: connection.process_data_events(5), 504)


def update_secret():
    with channel() as ch:
        ch.connection.update_secret("new", "it was time")
        assert ch.connection.is_open


def channel_flow():
    with channel() as ch:
        assert ch.flow(True) is True
        refused(lambda: ch.flow(False), 540)


def connection_ends_while_it_consumes():
    watcher = connect()
    with queue(watcher.channel()) as name:
        put(watcher.channel(), name, b"one", b"two")
        victim = pika.BlockingConnection(parameters(-1))
        ch = victim.channel()
        assert len(take(ch, name, 2, auto_ack=False)) == 2
        victim._impl._transport._sock.shutdown(socket.SHUT_RDWR)
        taken = take(watcher.channel(), name, 2)
        assert [(method.redelivered, body) for method, _, body in taken] == [(True, b"one"), (True, b"two")]


CASES = [
    ("server-properties", server_properties),
    ("connect-plain-and-amqplain", connect_plain_and_amqplain),
    ("wrong-password", wrong_password),
    ("unknown-vhost", unknown_vhost),
    ("tune", tune),
    ("wrong-protocol-header", wrong_protocol_header),
    ("heartbeats-are-sent", heartbeats_are_sent),
    ("silent-client-is-dropped", silent_client_is_dropped),
    ("channel-errors-leave-the-connection", channel_errors_leave_the_connection),
    ("many-channels", many_channels),
    ("channel-opened-twice", channel_opened_twice),
    ("update-secret", update_secret),
    ("channel-flow", channel_flow),
    ("connection-lost-with-unacked", connection_ends_while_it_consumes),
]
