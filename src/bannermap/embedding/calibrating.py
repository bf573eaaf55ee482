"""The command `calibrate_encoder`: from stored vectors to a calibration file, with figures of what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from bannermap.embedding.calibration import Method, Spread, learn, spread, write_calibration
from bannermap.embedding.encoders.interface import make_encoder, unit_rows
from bannermap.embedding.importing import read_vectors
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import EMBEDDINGS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from bannermap.platform.settings import Settings

HELD_OUT = 5
"""Every so many vectors are left out of learning and give the figures, which would flatter themselves otherwise."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        out: file to write.
        method: see `calibration`.
        dimensions: of whitened vectors.
        vectors: Parquet or Delta with a column ``vector`` in place of the stored embeddings.
        rows: most vectors to draw.
        seed: of the draw and of the pairs.
    """

    out: Path
    method: Method = "centre"
    dimensions: int | None = None
    vectors: str | None = None
    rows: int = 20_000
    seed: int = 0


def encoder_to_calibrate(settings: Settings) -> str:
    """The encoder_id of the configured encoder without any calibration.

    Raises:
        ConfigError: the encoder can't be made.
    """
    return make_encoder(settings.encoder.model_copy(update={"calibration": None, "chain": ()})).encoder_id


def calibrate(spark: SparkSession, settings: Settings, request: Request, encoder_id: str) -> str:
    """Learn, write the file, and say in words what came of it.

    Args:
        spark: the session.
        settings: with ``paths.warehouse``.
        request: what is asked for.
        encoder_id: see `encoder_to_calibrate`.

    Raises:
        InputError: there are too few vectors.
    """
    if request.rows < 1:
        raise ConfigError(f"--rows {request.rows} draws no vector: give at least a few thousand.")
    drawn = drawn_vectors(_stored(spark, settings, request, encoder_id), request.rows, request.seed)
    held = np.arange(len(drawn)) % HELD_OUT == 0
    made = learn(encoder_id, drawn[~held], request.method, request.dimensions, request.seed)
    digest = write_calibration(made, request.out)
    before, after = (spread(v, request.seed) for v in (drawn[held], made.apply(drawn[held])))
    head = f"{request.method} of {encoder_id} from {made.rows} vectors, figures from {int(held.sum())} others: {request.out}"
    tail = f"Set encoder.calibration to the file; vectors then stand under {encoder_id}-cal{digest[:8]}."
    return "\n".join([head, "", *_table(before, after), "", tail])


def drawn_vectors(rows: DataFrame, most: int, seed: int) -> np.ndarray:
    """A sample that depends on the vectors and the seed alone, however the rows are spread; float32 (n, d), unit rows.

    Args:
        rows: column ``vector``; what has no direction, or another length than most, is left out.
        most: rows to draw.
        seed: of the draw.
    """
    order = F.xxhash64(F.lit(seed), "vector")
    table = rows.where("vector IS NOT NULL").orderBy(order, "vector").limit(most).select("vector").toArrow()
    lists = table.column("vector").combine_chunks()
    lengths = np.asarray(lists.value_lengths())
    if not len(lengths):
        return np.empty((0, 0), np.float32)
    width = int(np.bincount(lengths).argmax())
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    starts = (np.cumsum(lengths) - lengths)[lengths == width]
    vectors = unit_rows(flat[starts[:, None] + np.arange(width)])
    return vectors[np.isfinite(vectors).all(axis=1)]


def _stored(spark: SparkSession, settings: Settings, request: Request, encoder_id: str) -> DataFrame:
    if request.vectors:
        return read_vectors(spark, request.vectors, {"vector": "vector"})
    table = Warehouse(spark, settings.paths.warehouse).read(EMBEDDINGS, "embed_banners")
    rows = table.where(F.col("encoder_id") == encoder_id)
    if rows.isEmpty():
        known = sorted(r["encoder_id"] for r in table.select("encoder_id").distinct().collect())
        raise InputError(
            f"embeddings has no vector of {encoder_id}, which encoder describes; it has {', '.join(known) or 'none'}. Run "
            "embed_banners with these settings first, or set encoder as it was then."
        )
    return rows


def _table(before: Spread, after: Spread) -> Sequence[str]:
    lines = [("cosine of random pairs", "before", "after"), ("mean", f"{before.mean:.3f}", f"{after.mean:.3f}")]
    lines += [(f"percentile {p:g}", f"{before.percentiles[p]:.3f}", f"{after.percentiles[p]:.3f}") for p in before.percentiles]
    lines += [(f"share at {t:.2f} or more", f"{before.passing[t]:.5f}", f"{after.passing[t]:.5f}") for t in before.passing]
    return [f"{name:<24}{a:>10}{b:>10}" for name, a, b in lines]
