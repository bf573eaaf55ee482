"""Vectors from an HTTP endpoint, by the protocol of docs/encoders.md.

An endpoint that is down makes no vector and fails no task: what it did not encode is left for the next run.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import io
import json
import os
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from bannermap.embedding.decoding.views import View, fitted_view
from bannermap.embedding.encoders.interface import Encoded, EncoderUnavailable, seen_as, unit_rows
from bannermap.embedding.fetching.retrying import retry_after_s
from bannermap.platform.errors import ConfigError

if TYPE_CHECKING:
    import aiohttp

    from bannermap.platform.settings import EncoderSettings

PROTOCOL = "bannermap-embed/1"
SIDE_PX, CELL_PX = 224, 16
FIRST_BACKOFF_S = 0.25
MAX_ANSWER_BYTES = 64_000_000
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
FAILURES_TO_REST = 3
"""Requests in a row that failed for good, after which the endpoint is left alone for a deadline's time: a run over a million
pictures must not wait out the deadline of each batch."""


class _Transient(Exception):
    """What another attempt may mend, and how long the endpoint asked to wait."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RemoteEncoder:
    """See the module."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Check the settings; nothing is asked yet.

        Raises:
            ConfigError: the endpoint or its model is not named, or cannot be right.
        """
        self._remote, self._trim = settings.remote, settings.trim_borders
        self._mode, self._side = settings.resize_mode or "resize", settings.resolution_px or SIDE_PX
        self._endpoint, self._model = _endpoint(self._remote.endpoint), self._remote.model or ""
        if not self._model:
            raise ConfigError(
                "encoder.name is remote and encoder.remote.model is not set: it becomes a part of encoder_id, which keeps "
                "vectors of different models apart. Set it to the name that the endpoint answers with."
            )
        self._dimensions: int | None = None
        self._failures, self._rests_until, self._last_failure = 0, 0.0, ""

    @property
    def encoder_id(self) -> str:
        """Names what changes a vector: of the model, its name."""
        readable = re.sub(r"[^A-Za-z0-9.]+", "_", self._model)[:40]
        digest = hashlib.sha256(self._model.encode()).hexdigest()[:8]
        return f"remote-v1-{readable}-{digest}-{seen_as(self._trim)}-{self._mode}{self._side}"

    def check(self) -> None:
        """Whether the key is there; the endpoint itself may be up later."""
        name = self._remote.key_variable
        if name and not os.environ.get(name):
            raise ConfigError(
                f"encoder.remote.key_variable is {name} and there is no such environment variable. Set it to the endpoint's key "
                "here and on the executors (spark.executorEnv), or the setting to null where the endpoint needs none."
            )

    def prepare(self, pixels: np.ndarray) -> View:
        """Trimmed and resized."""
        return fitted_view(pixels, self._trim, self._mode, self._side, CELL_PX)

    def encode(self, inputs: list[View]) -> Encoded:
        """Vectors of prepared pictures by one request; NaN where the endpoint gave no direction.

        Raises:
            EncoderUnavailable: no valid answer by the deadline.
        """
        if time.monotonic() < self._rests_until:
            raise EncoderUnavailable(f"not asked: it failed {self._failures} times in a row, at last with: {self._last_failure}")
        images = [base64.b64encode(_png(view.pixels)).decode() for view in inputs]
        body = json.dumps({"protocol": PROTOCOL, "model": self._model, "images": images}).encode()
        try:
            # On a thread of its own: the caller's may have an event loop that runs, as a notebook's has.
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(asyncio.run, self._ask(body)).result()
            vectors = self._vectors(answer, len(inputs))
        except EncoderUnavailable as failure:
            self._note_failure(str(failure))
            raise
        self._failures = 0
        return Encoded(unit_rows(vectors))

    def _note_failure(self, message: str) -> None:
        self._failures, self._last_failure = self._failures + 1, message
        if self._failures >= FAILURES_TO_REST:
            self._rests_until = time.monotonic() + self._remote.deadline_s

    async def _ask(self, body: bytes) -> bytes:
        import aiohttp

        ends = time.monotonic() + self._remote.deadline_s
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self._authorization()}
        async with aiohttp.ClientSession(headers=headers) as session:
            for attempt in range(self._remote.attempts):
                last = attempt + 1 == self._remote.attempts
                left = ends - time.monotonic()
                try:
                    # Half of what is left, so that an attempt that hangs leaves time for another one.
                    return await self._once(session, body, left if last else left / 2)
                except _Transient as failure:
                    # Jitter from 0.5 to 1.5: tasks that failed together do not come back together.
                    wait = max(failure.retry_after_s, FIRST_BACKOFF_S * 2**attempt * (0.5 + random.random()))
                    if last or time.monotonic() + wait >= ends:
                        raise EncoderUnavailable(self._public(f"{failure}, after {attempt + 1} attempts")) from None
                    await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, session: aiohttp.ClientSession, body: bytes, limit_s: float) -> bytes:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=max(limit_s, 0.001))
        try:
            # A redirect is refused: it could lead the key to another host.
            async with session.post(self._endpoint, data=body, timeout=timeout, allow_redirects=False) as response:
                content = await _limited(response)
                if response.status in RETRIED_STATUSES:
                    asked = retry_after_s(response.headers.get("Retry-After"), datetime.datetime.now(datetime.UTC))
                    raise _Transient(f"status {response.status}", asked)
                if response.status != 200:
                    told = content[:200].decode(errors="replace")
                    raise EncoderUnavailable(self._public(f"status {response.status}: {told}"))
                return content
        except TimeoutError:
            raise _Transient(f"no answer within {limit_s:.1f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Transient(f"{type(error).__name__}: {error}") from None

    def _vectors(self, answer: bytes, count: int) -> np.ndarray:
        """The vectors of an answer, checked; float32 (count, d)."""
        try:
            content = json.loads(answer)
            model, vectors = content["model"], np.asarray(content["vectors"], np.float64)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise EncoderUnavailable(f"its answer is not what the protocol says ({type(error).__name__})") from None
        if model != self._model:
            raise EncoderUnavailable(self._public(f"it answers as model {model!r:.100}, encoder.remote.model is {self._model!r}"))
        if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
            raise EncoderUnavailable(f"it answers {count} images with vectors of shape {vectors.shape}")
        if self._dimensions not in (None, vectors.shape[1]):
            raise EncoderUnavailable(f"its vectors have {vectors.shape[1]} dimensions, before they had {self._dimensions}")
        self._dimensions = vectors.shape[1]
        return vectors

    def _authorization(self) -> dict[str, str]:
        if not self._remote.key_variable:
            return {}
        key = self._key()
        if not key:
            raise EncoderUnavailable(f"there is no environment variable {self._remote.key_variable} on this executor")
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise EncoderUnavailable(f"the key in {self._remote.key_variable} holds characters that no header takes")
        return {"Authorization": f"Bearer {key}"}

    def _key(self) -> str:
        return os.environ.get(self._remote.key_variable or "", "").strip()

    def _public(self, text: str) -> str:
        """The text without the key, which an endpoint may have repeated."""
        key = self._key()
        return text.replace(key, "***") if key else text


def _endpoint(address: str | None) -> str:
    parts = urlsplit(address or "")
    if not address or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"encoder.name is remote and encoder.remote.endpoint is {address!r}: give the http or https address that takes a "
            "POST with images, see docs/encoders.md."
        )
    if parts.username or parts.password:
        raise ConfigError(
            "encoder.remote.endpoint holds a password, and settings are stored with each run: name the environment variable that "
            "holds the key in encoder.remote.key_variable."
        )
    return address


def _png(pixels: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG", compress_level=1)
    return target.getvalue()


async def _limited(response: Any) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_chunked(65536):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise EncoderUnavailable(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
        parts.append(chunk)
    return b"".join(parts)
