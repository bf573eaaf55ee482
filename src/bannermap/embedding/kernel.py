"""Inside a task: a batch of addresses to rows. Bytes come in, one vector goes out, pixels never leave the worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bannermap.embedding.decoding.decode import Picture, decode
from bannermap.embedding.encoders.interface import encode_pictures, make_encoder
from bannermap.embedding.fetching.fetch import Fetched
from bannermap.embedding.fetching.stream import fetch_all
from bannermap.embedding.frames import IMAGES
from bannermap.embedding.statuses import OK, Failure
from bannermap.platform.settings import DecodeSettings, EncoderSettings, FetchSettings


@dataclass(frozen=True)
class ImageKernel:
    """Fetch, decode and encode; small and picklable, it travels to the tasks.

    Attributes:
        root: folder of local images.
        fetch: limits.
        decode: limits.
        encoder: which encoder.
    """

    root: str
    fetch: FetchSettings
    decode: DecodeSettings
    encoder: EncoderSettings

    def from_addresses(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`ADDRESSES` to `IMAGES`, for mapInArrow."""
        for addresses in self._chunks(batches):
            names = addresses.column(0).to_pylist()
            yield self._rows(names, fetch_all(names, Path(self.root), self.fetch))

    def from_bytes(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`STORED_IMAGES` to `IMAGES`, for mapInArrow; the address stays empty."""
        for images in self._chunks(batches):
            data = images.column(1).to_pylist()
            yield self._rows([None] * len(data), [Fetched(OK, data=d) for d in data])

    def _chunks(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, self.encoder.batch_images):
                yield batch.slice(start, self.encoder.batch_images)

    def _rows(self, addresses: Sequence[str | None], fetched: Sequence[Fetched]) -> pa.RecordBatch:
        pictures = [self._picture(f) for f in fetched]
        vectors = self._vectors(pictures)
        rows = [_row(*one) for one in zip(addresses, fetched, pictures, strict=True)]
        names = [c for c in IMAGES.columns if c != "vector"]
        columns = [pa.array([row[c] for row in rows], _arrow_type(c)) for c in names]
        return pa.RecordBatch.from_arrays([*columns, vectors], [*names, "vector"])

    def _picture(self, fetched: Fetched) -> Picture | Failure:
        if fetched.data is None:
            return Failure(fetched.status, fetched.error or "")
        try:
            return decode(fetched.data, self.decode)
        except Failure as failure:
            return failure

    def _vectors(self, pictures: Sequence[Picture | Failure]) -> pa.Array:
        """A list column from flat values: a Python list per vector would cost more than the encoder."""
        shown = [p.pixels for p in pictures if isinstance(p, Picture)]
        values = encode_pictures(make_encoder(self.encoder), shown) if shown else np.empty((0, 0), np.float32)
        present = np.array([isinstance(p, Picture) for p in pictures])
        ends = np.concatenate([[0], np.cumsum(present)]).astype(np.int32) * values.shape[1]
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.ravel()), mask=pa.array(~present))


def _row(address: str | None, fetched: Fetched, picture: Picture | Failure) -> dict[str, object]:
    shown = picture if isinstance(picture, Picture) else None
    failed = picture if isinstance(picture, Failure) else None
    return {
        "image_url": address,
        "status": failed.status if failed else OK,
        "error": failed.message if failed else None,
        "content_hash": fetched.content_hash,
        "pixel_hash": shown.pixel_hash if shown else None,
        "bytes": len(fetched.data) if fetched.data is not None else None,
        "format": shown.format if shown else None,
        "width": shown.pixels.shape[1] if shown else None,
        "height": shown.pixels.shape[0] if shown else None,
        "frames": shown.frames if shown else None,
        "data": fetched.data if shown else None,
    }


def _arrow_type(column: str) -> pa.DataType:
    types = {"string": pa.string(), "bigint": pa.int64(), "int": pa.int32(), "binary": pa.binary()}
    return types[IMAGES.type_of(column)]
