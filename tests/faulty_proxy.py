"""A proxy before an HTTP server: it answers with errors, keeps clients waiting, or resets connections, as often as told."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass

KINDS = ("error", "slow", "reset")
ANY = "any"
HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "proxy-connection", "expect"})


@dataclass
class Weather:
    """What happens to requests.

    Attributes:
        kind: one of `KINDS`, `ANY` for one of them by chance, or None for calm.
        share: of requests that it happens to.
        delay_s: seconds that a slow answer takes longer.
        struck: how many requests it happened to.
    """

    rng: random.Random
    kind: str | None = None
    share: float = 0.0
    delay_s: float = 1.0
    struck: int = 0

    def strikes(self) -> str | None:
        """What happens to the next request."""
        if self.kind is None or self.rng.random() >= self.share:
            return None
        self.struck += 1
        return self.rng.choice(KINDS) if self.kind == ANY else self.kind


@contextlib.contextmanager
def faulty_proxy(target: int, weather: Weather):
    """Port on loopback of a proxy before the server at ``target``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.body()
            kind = weather.strikes()
            if kind == "slow":
                time.sleep(weather.delay_s)
            if kind == "error":
                self.answer(503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>")
            elif kind == "reset" and weather.rng.random() < 0.5:  # before the server has the request
                self.reset()
            else:
                self.pass_on(body, kind == "reset")

        def body(self) -> bytes:
            """All of it; S3's clients send what they write piece by piece, without a length."""
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            return b"".join(parts)

        def pass_on(self, body: bytes, cut: bool) -> None:
            line = http.client.HTTPConnection("127.0.0.1", target, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            line.request(self.command, self.path, body, headers)
            got = line.getresponse()
            content = got.read()
            line.close()
            if cut:  # the server has done it, and the client does not learn so
                self.reset()
            else:
                kept = {k: v for k, v in got.getheaders() if k.lower() not in HOP}
                self.answer(got.status, kept, content)

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            if self.command != "HEAD":  # of which the length tells of the object
                headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
                headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

        def log_message(self, *_):
            pass

        def handle(self):
            with contextlib.suppress(OSError, ValueError):  # a client that is killed, or a connection that was reset here
                super().handle()

        def finish(self):
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
