"""Inside a task: addresses to rows. Bytes come in, one vector goes out, pixels never leave the worker.

Fetching, decoding and encoding run at the same time: an event loop fetches ahead, threads decode what has come, and the task's
own thread runs the model on whole batches. Each hand-over is bounded in pieces and bytes, so a slow step stops those before it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bannermap.embedding.decoding.decode import Picture, decode
from bannermap.embedding.decoding.views import View
from bannermap.embedding.encoders.chain import Chain, Made, Outcome, make_chain
from bannermap.embedding.encoders.interface import EncoderUnavailable
from bannermap.embedding.fetching.fetch import Fetched
from bannermap.embedding.fetching.stream import stream_fetched
from bannermap.embedding.frames import IMAGES
from bannermap.embedding.pipeline import Room, SideBySide
from bannermap.embedding.statuses import OK, Failure
from bannermap.platform.settings import DecodeSettings, EncoderSettings, FetchSettings

BATCHES_AHEAD = 2
"""Of decoded pictures beside the one that is encoded: one to hand over, one in the making."""
BATCH_BYTES = 8 * 1024 * 1024
"""Of files in one batch; larger ones make smaller batches."""


@dataclass(frozen=True)
class Decoded:
    """One address on its way to the encoder.

    Attributes:
        address: what was asked; null for stored bytes.
        fetched: what came.
        content_hash: of the bytes; made beside the encoder, since it takes a millisecond per megabyte.
        failure: why there is no picture.
        facts: of the picture: pixel_hash, format, width, height, frames.
        inputs: what each encoder of the chain looks at; null where there is no picture.
        seconds: processor time of decoding and preparing.
    """

    address: str | None
    fetched: Fetched
    content_hash: str | None
    failure: Failure | None
    facts: dict[str, Any]
    inputs: tuple[View, ...] | None
    seconds: float


@dataclass(frozen=True)
class ImageKernel:
    """Fetch, decode and encode; small and picklable, it travels to the tasks.

    Attributes:
        root: folder of local images.
        fetch: limits.
        decode: limits.
        encoder: which encoders.
        encodes: false: pictures are only fetched and decoded.
    """

    root: str
    fetch: FetchSettings
    decode: DecodeSettings
    encoder: EncoderSettings
    encodes: bool = True

    @property
    def chain(self) -> Chain:
        """The encoders, none of them where nothing is encoded."""
        return make_chain(self.encoder) if self.encodes else Chain(())

    def from_addresses(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`ADDRESSES` to `IMAGES`, for mapInArrow; one batch of rows for each batch of the encoder."""
        addresses = [address for batch in batches for address in batch.column(0).to_pylist()]
        if not addresses:
            return iter(())  # a second run has nothing to do: no model is looked for then
        fetched = stream_fetched(addresses, Path(self.root), self.fetch)
        return self._rows((addresses[position], result) for position, result in fetched)

    def from_bytes(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of `IMAGE_BYTES` to `IMAGES`, for mapInArrow; the address stays empty."""
        stored = (scalar.as_py() for batch in batches for scalar in batch.column(1))
        return self._rows((None, Fetched(OK, data=data)) for data in stored)

    def _rows(self, fetched: Iterator[tuple[str | None, Fetched]]) -> Iterator[pa.RecordBatch]:
        chain, images = self.chain, self.encoder.batch_images
        room = Room((1 + BATCHES_AHEAD) * images, (1 + BATCHES_AHEAD) * BATCH_BYTES)
        work = functools.partial(_decoded, chain, self.decode)
        decoding = SideBySide(fetched, work, self.decode.threads_per_task, room, _weight)
        waited_s = 0.0
        for batch in decoding.batches(images, BATCH_BYTES):
            began = time.perf_counter()
            outcomes = _encoded(chain, batch)
            encode_s = time.perf_counter() - began
            yield _record_batch(batch, outcomes, (decoding.waited_s - waited_s) / len(batch), encode_s / len(batch))
            waited_s = decoding.waited_s


def _weight(piece: tuple[str | None, Fetched]) -> int:
    return len(piece[1].data or b"")


def _decoded(chain: Chain, settings: DecodeSettings, piece: tuple[str | None, Fetched]) -> Decoded:
    """In a thread: pixels exist only here, and what leaves is small whatever they were."""
    (address, fetched), began = piece, time.thread_time()
    content_hash = fetched.content_hash
    try:
        if fetched.data is None:
            raise Failure(fetched.status, fetched.error or "")
        picture = decode(fetched.data, settings)
        inputs = chain.prepare(picture.pixels)
    except Failure as failure:
        return Decoded(address, fetched, content_hash, failure, {}, None, time.thread_time() - began)
    return Decoded(address, fetched, content_hash, None, _facts(picture), inputs, time.thread_time() - began)


def _facts(picture: Picture) -> dict[str, Any]:
    height, width, _ = picture.pixels.shape
    return {
        "pixel_hash": picture.pixel_hash,
        "format": picture.format,
        "width": width,
        "height": height,
        "frames": picture.frames,
    }


def _encoded(chain: Chain, batch: Sequence[Decoded]) -> list[Outcome | None]:
    if not chain.encoder_ids:
        return [None] * len(batch)
    shown = [one.inputs for one in batch if one.inputs is not None]
    made = iter(chain.encode(shown) if shown else [])
    return [None if one.inputs is None else next(made) for one in batch]


def _record_batch(batch: Sequence[Decoded], outcomes: Sequence[Outcome | None], wait_s: float, encode_s: float) -> pa.RecordBatch:
    rows = [_row(one, outcome) | {"wait_s": wait_s, "encode_s": encode_s} for one, outcome in zip(batch, outcomes, strict=True)]
    names = [c for c in IMAGES.columns if c != "vector"]
    columns = [pa.array([row.get(c) for row in rows], _arrow_type(c)) for c in names]
    return pa.RecordBatch.from_arrays([*columns, _vectors(outcomes)], [*names, "vector"])


def _row(one: Decoded, outcome: Outcome | None) -> dict[str, Any]:
    fetched, data = one.fetched, one.fetched.data
    return {
        "image_url": one.address,
        "status": one.failure.status if one.failure else OK,
        "error": one.failure.message if one.failure else None,
        "content_hash": one.content_hash,
        "bytes": len(data) if data is not None else None,
        "attempts": fetched.attempts,
        "data": None if one.failure else data,
        "encoder_id": outcome.encoder_id if isinstance(outcome, Made) else None,
        "emphasis": outcome.emphasis.tobytes() if isinstance(outcome, Made) and outcome.emphasis is not None else None,
        "not_encoded": str(outcome)[:500] if isinstance(outcome, EncoderUnavailable) else None,
        "fetch_s": fetched.seconds,
        "decode_s": one.seconds,
        **one.facts,
    }


def _vectors(outcomes: Sequence[Outcome | None]) -> pa.Array:
    """A list column from flat values: a Python list per vector would cost more than the encoder."""
    vectors = [outcome.vector if isinstance(outcome, Made) else None for outcome in outcomes]
    ends = np.cumsum([0, *(0 if v is None else len(v) for v in vectors)]).astype(np.int32)
    values = np.concatenate([np.empty(0, np.float32), *(v for v in vectors if v is not None)])
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values), mask=pa.array([v is None for v in vectors]))


def _arrow_type(column: str) -> pa.DataType:
    types = {"string": pa.string(), "bigint": pa.int64(), "int": pa.int32(), "binary": pa.binary(), "double": pa.float64()}
    return types[IMAGES.type_of(column)]
