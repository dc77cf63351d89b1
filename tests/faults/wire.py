"""A wire between a client and a server, which can be reset, or lose what is sent through it."""

import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

#: SO_LINGER that makes close() a reset.
RESET = struct.pack("ii", 1, 0)


class Wire:
    """Listens on `port`, and passes on to the server what comes, and back.

    `stall()` passes on nothing more, and tells nobody. `lose_reply_to(text)` passes on the next
    bytes that hold the text, and then cuts the connection that they came by, once the server has
    replied.
    """

    def __init__(self, host, port):
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends = set()
        self._lost = None
        self._flows = threading.Event()
        self._flows.set()
        self.has_lost = threading.Event()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.flow()
        self.reset()

    def lose_reply_to(self, text):
        self._lost = text.encode()

    def stall(self):
        self._flows.clear()

    def flow(self):
        """Pass on what comes from now on, and what came meanwhile."""
        self._flows.set()

    def reset(self):
        """Reset every connection."""
        for end in list(self._ends):
            with suppress(OSError):
                if end.family == socket.AF_INET:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RD)  # nothing is sent; who reads it closes it
                else:
                    self._close(end)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._connect()
                self._ends |= {client, server}
                losing = threading.Event()
                for function, *ends in (
                    (self._send, client, server),
                    (self._reply, server, client),
                ):
                    threading.Thread(target=function, args=[*ends, losing], daemon=True).start()

    def _connect(self):
        host, port = self._server
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(Path(host, f".s.PGSQL.{port}")))
        return server

    def _send(self, client, server, losing):
        with suppress(OSError):
            while data := client.recv(65536):
                if self._lost and self._lost in data:
                    self._lost = None
                    losing.set()
                self._flows.wait()
                server.sendall(data)
        self._close(client)
        self._close(server)

    def _reply(self, server, client, losing):
        with suppress(OSError):
            while data := server.recv(65536):
                if losing.is_set():
                    self.has_lost.set()
                    break
                client.sendall(data)
        self._close(client)
        self._close(server)

    def _close(self, end):
        self._ends.discard(end)
        with suppress(OSError):
            if not end.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
