"""A web server on raw sockets that answers each path in its own wrong way, and a listener that must never be reached."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import gzip
import socket
import struct
import threading
from collections import Counter

SERVED = "127.0.0.2"
FORBIDDEN = "127.0.0.1"
BODY = b"\x89PNG and some bytes"
BOMB = gzip.compress(bytes(50_000_000))
NEVER_S = 30.0
"""Longer than any test waits."""


def head(status: int = 200, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode()


def whole(status: int = 200, body: bytes = BODY, *lines: str) -> bytes:
    return head(status, f"Content-Length: {len(body)}", *lines) + body


def chunked(rest: bytes) -> bytes:
    return head(200, "Transfer-Encoding: chunked") + rest


def moved(location: str, status: int = 302) -> bytes:
    return whole(status, b"", f"Location: {location}")


def in_seconds(seconds: int) -> str:
    return email.utils.format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds))


STATIC = {
    "ok": whole(),
    "chunks": chunked(b"4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n"),
    "until-close": head(200, "Connection: close") + BODY,
    "empty": whole(200, b""),
    "s204": head(204),
    "s206": whole(206),
    "s304": head(304),
    "s400": whole(400),
    "s401": whole(401),
    "s403": whole(403),
    "s404": whole(404),
    "s410": whole(410),
    "s451": whole(451),
    "s408": whole(408),
    "s425": whole(425),
    "s429": whole(429, b"", "Retry-After: 0"),
    "s500": whole(500),
    "s501": whole(501),
    "s503": whole(503),
    "wait-an-hour": whole(429, b"", "Retry-After: 3600"),
    "wait-for-ages": whole(503, b"", "Retry-After: " + "9" * 400),
    "wait-until-tomorrow": whole(503, b"", f"Retry-After: {in_seconds(86400)}"),
    "noai": whole(200, BODY, "X-Robots-Tag: noai"),
    "noindex-among-others": whole(200, BODY, "X-Robots-Tag: nofollow", "X-Robots-Tag: max-snippet: 5, NoIndex"),
    "noai-for-us": whole(200, BODY, "X-Robots-Tag: bannermap: noimageai"),
    "noai-for-others": whole(200, BODY, "X-Robots-Tag: otherbot: noai, noindex"),
    "length-short": head(200, "Content-Length: 500", "Connection: close") + BODY,
    "length-long": head(200, "Content-Length: 5") + BODY * 100,
    "length-negative": head(200, "Content-Length: -5") + BODY,
    "length-word": head(200, "Content-Length: many") + BODY,
    "length-huge": head(200, "Content-Length: " + "9" * 18) + BODY,
    "length-beyond-int": head(200, "Content-Length: " + "9" * 40) + BODY,
    "length-twice": head(200, "Content-Length: 5", "Content-Length: 20") + BODY,
    "too-long": whole(200, b"x" * 100_000),
    "chunk-size-word": chunked(b"zz\r\nabc\r\n"),
    "chunk-size-huge": chunked(b"f" * 40 + b"\r\nabc"),
    "chunk-no-end": chunked(b"5\r\nabcde\r\n"),
    "chunk-short": chunked(b"50\r\nabcde"),
    "chunk-without-break": chunked(b"3\r\nabcdefgh\r\n0\r\n\r\n"),
    "gzip-bomb": head(200, "Content-Encoding: gzip", f"Content-Length: {len(BOMB)}") + BOMB,
    "gzip-bomb-in-chunks": head(200, "Content-Encoding: gzip", "Transfer-Encoding: chunked") + b"%x\r\n" % len(BOMB) + BOMB,
    "unknown-encoding": whole(200, BODY, "Content-Encoding: br"),
    "garbage": b"\x00\x01\x02 what is this?\r\n\r\n" * 20,
    "no-status": b"hello\r\n\r\n",
    "nothing": b"",
    "long-line": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    "many-lines": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "hop": moved("/ok"),
    "hop-301": moved("ok", 301),
    "hop-308": moved("../ok?x=1#y", 308),
    "hop-nowhere": whole(302, b""),
    "hop-empty": moved(""),
    "loop": moved("/loop"),
    "to-file": moved("file:///etc/hostname"),
    "to-data": moved("data:image/png;base64,AAAA"),
    "to-ftp": moved("ftp://127.0.0.1/x"),
    "to-script": moved("javascript:alert(1)"),
    "to-metadata": moved("http://169.254.169.254/latest/meta-data/"),
    "to-bad-v6": moved("http://[::1/"),
    "to-no-host": moved("http:///x"),
    "to-user": moved("http://user:password@127.0.0.1/"),
    "to-unresolved": moved("http://absent.test/"),
}
"""Path -> every byte of the answer; then the connection is closed."""


class HostileServer:
    """The server and the forbidden listener on one port of two loopback addresses, in a thread of their own.

    Attributes:
        port: of both.
        asked: path -> requests.
        most_at_once: path -> largest number of requests that were open together.
        intruders: connections that reached the forbidden listener.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self.intruders: list[tuple] = []
        self._forbidden = [socket.create_server((FORBIDDEN, 0))]
        self.port = self._forbidden[0].getsockname()[1]
        with contextlib.suppress(OSError):  # a machine without IPv6
            self._forbidden.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        self._started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        assert self._started.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)

    def url(self, path: str, host: str = SERVED) -> str:
        return f"http://{host}:{self.port}/{path}"

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        await asyncio.start_server(self._answer, SERVED, self.port)
        for listener in self._forbidden:
            await asyncio.start_server(self._intrude, sock=listener)
        self._started.set()
        await self._ended.wait()

    async def _intrude(self, _reader, writer) -> None:
        self.intruders.append(writer.get_extra_info("peername"))
        writer.close()

    async def _answer(self, reader, writer) -> None:
        path = "?"
        try:
            request = await reader.readexactly(1)
            if request == b"\x16":  # a TLS hello
                writer.write(b"this is no TLS\r\n")
                return
            request += await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ")[1].decode().strip("/").split("?")[0]
            self.asked[path] += 1
            self._open[path] += 1
            self.most_at_once[path] = max(self.most_at_once[path], self._open[path])
            await self._behave(path, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open[path] -= 1
            writer.close()

    async def _behave(self, path: str, writer) -> None:
        name, _, rest = path.partition("/")
        special = getattr(self, "at_" + name.replace("-", "_"), None)
        if special:
            await special(writer, rest)
        else:
            writer.write(STATIC.get(name, whole(404)))
            await writer.drain()

    async def at_to_forbidden(self, writer, host: str) -> None:
        writer.write(moved(f"http://{host or FORBIDDEN}:{self.port}/ok"))

    async def at_to_forbidden_relative(self, writer, _) -> None:
        writer.write(moved(f"//{FORBIDDEN}:{self.port}/ok"))

    async def at_steps(self, writer, number: str) -> None:
        writer.write(moved(f"/steps/{int(number or 0) + 1}"))

    async def at_flaky(self, writer, _) -> None:
        writer.write(whole(503, b"", "Retry-After: 0") if self.asked["flaky"] == 1 else whole())

    async def at_flaky_date(self, writer, _) -> None:
        writer.write(whole(429, b"", f"Retry-After: {in_seconds(-5)}") if self.asked["flaky-date"] == 1 else whole())

    async def at_reset_once(self, writer, rest) -> None:
        await (self.at_reset(writer, rest) if self.asked["reset-once"] == 1 else self.at_pause(writer, rest))

    async def at_silent(self, _writer, _) -> None:
        await asyncio.sleep(NEVER_S)

    async def at_pause(self, writer, _) -> None:
        await asyncio.sleep(0.1)
        writer.write(whole())

    async def at_stalled(self, writer, _) -> None:
        writer.write(head(200, "Content-Length: 500") + BODY)
        await asyncio.sleep(NEVER_S)

    async def at_slow_head(self, writer, _) -> None:
        await _dribble(writer, b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 5000)

    async def at_slow_body(self, writer, _) -> None:
        await _dribble(writer, b"x" * 5000, head(200, "Content-Length: 5000"))

    async def at_slow_chunks(self, writer, _) -> None:
        await _dribble(writer, b"1\r\nx\r\n" * 5000, head(200, "Transfer-Encoding: chunked"))

    async def at_endless(self, writer, _) -> None:
        await _flood(writer, b"x" * 1000, head(200))

    async def at_endless_chunks(self, writer, _) -> None:
        await _flood(writer, b"3e8\r\n" + b"x" * 1000 + b"\r\n", head(200, "Transfer-Encoding: chunked"))

    async def at_endless_head(self, writer, _) -> None:
        await _flood(writer, b"X-More: y\r\n", b"HTTP/1.1 200 OK\r\n")

    async def at_endless_continue(self, writer, _) -> None:
        await _dribble(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    async def at_reset(self, writer, _) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def at_reset_in_body(self, writer, rest) -> None:
        writer.write(head(200, "Content-Length: 500") + BODY)
        await writer.drain()
        await asyncio.sleep(0.05)
        await self.at_reset(writer, rest)


async def _dribble(writer, data: bytes, first: bytes = b"") -> None:
    writer.write(first)
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def _flood(writer, piece: bytes, first: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(piece)
        await writer.drain()
