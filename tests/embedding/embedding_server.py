"""An endpoint of the remote encoder's protocol on loopback, with faults on demand."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

MODEL = "tests/model-1"


def vector_of(pixels: np.ndarray) -> list[float]:
    """A vector that depends on the whole picture; not of unit length."""
    flat = pixels.astype(np.float64).reshape(-1, 3)
    return [*flat.mean(axis=0), *flat.std(axis=0), float(pixels.shape[0]), float(pixels.shape[1])]


@dataclass
class Reply:
    """What to answer instead of vectors."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0


class Endpoint:
    """The server; ``faults`` are used up first, one per request."""

    def __init__(self) -> None:
        self.faults: list[Reply] = []
        self.always: Reply | None = None
        self.change = lambda content: content
        self.requests: list[dict] = []
        self.times: list[float] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.times.append(time.monotonic())
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append({"headers": dict(self.headers), "path": self.path, **content})
                fault = endpoint.faults.pop(0) if endpoint.faults else endpoint.always
                self.send(fault or Reply(), content)

            def send(self, reply: Reply, content: dict) -> None:
                body = endpoint.answer(content) if reply.body is None else reply.body
                time.sleep(reply.wait_s)
                try:
                    self.send_response(reply.status)
                    for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    for byte in body if reply.drip_s else ():
                        self.wfile.write(bytes([byte]))
                        time.sleep(reply.drip_s)
                    self.wfile.write(b"" if reply.drip_s else body)
                except OSError:
                    pass  # the client has gone

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/embed?v=1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, content: dict) -> bytes:
        files = [base64.b64decode(image, validate=True) for image in content["images"]]
        vectors = [vector_of(np.asarray(Image.open(io.BytesIO(f), formats=["PNG"]))) for f in files]
        return json.dumps(self.change({"model": MODEL, "vectors": vectors})).encode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
