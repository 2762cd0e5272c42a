"""Stands between a client and the broker, and cuts their connections."""

import contextlib
import socket
import struct
import threading


class Proxy:
    def __init__(self, broker):
        host, port = broker.rsplit(":", 1)
        self.broker = (host, int(port))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        self.open = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.close()
        self.cut()

    def cut(self):
        """Resets all connections on both sides."""
        for one in self.open:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
                one.close()
        self.open.clear()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                far = socket.create_connection(self.broker)
                self.open += [near, far]
                for source, target in [(near, far), (far, near)]:
                    threading.Thread(target=copy, args=(source, target), daemon=True).start()


def copy(source, target):
    with contextlib.suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
