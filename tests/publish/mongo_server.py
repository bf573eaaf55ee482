"""A server that speaks MongoDB's wire protocol, in a JVM of its own, and a line to it that can be cut."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyspark
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from repository import ROOT

from bannermap.launcher.checks import check_java
from bannermap.launcher.server_jars import ensure_server_jars

JAVA_OPTIONS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


@contextlib.contextmanager
def running_server(heap: str = "256m") -> Iterator[int]:
    """Port on loopback of an empty server.

    Raises:
        bannermap.launcher.problem.Problem: its jars are not there and cannot be fetched.
    """
    jars = ensure_server_jars(ROOT, Path(sys.executable), check_java())
    bridge = next(Path(pyspark.__path__[0], "jars").glob("py4j-*.jar"))
    options = [f"-Xmx{heap}", *JAVA_OPTIONS]
    port, process = launch_gateway(
        classpath=f"{jars}/*",
        jarpath=str(bridge),
        javaopts=options,
        die_on_exit=True,
        return_proc=True,
        java_path=str(check_java()),
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        java = gateway.jvm.de.bwaldvogel.mongo
        yield int(java.MongoServer(java.backend.memory.MemoryBackend()).bind().getPort())
    finally:
        gateway.shutdown()
        process.kill()
        process.wait()


class Line:
    """A TCP line to the server: cut, it refuses new connections and resets those that are there.

    Attributes:
        port: on loopback.
        cut_after: bytes to the server after which the line cuts itself; None for never.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.cut_after: int | None = None
        self._sent = 0
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.mend()

    def mend(self) -> None:
        """Take connections (again)."""
        self._sent, self.cut_after = 0, None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Drop everything."""
        listener, self._listener = self._listener, None
        if listener:
            _shut(listener)
        for end in self._open:
            _shut(end)
        self._open = []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                self._open += [near, far]
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._sent += len(data) if counted else 0
                if self.cut_after is not None and self._sent > self.cut_after:
                    self.cut()
                target.sendall(data)
        for end in (source, target):
            _shut(end)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
