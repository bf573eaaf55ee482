"""From tables or files to the pictures that strategies are compared on: frames in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from bannermap.lab.arrow_vectors import vectors_of
from bannermap.lab.data import Pictures
from bannermap.lab.figures import Pairs
from bannermap.lab.sampling import FACTS, Named, draw, facts_of, frame_of_names
from bannermap.lab.separation import unit_rows
from bannermap.platform.errors import InputError, nearest
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import LabSettings, Settings
from bannermap.platform.tables import EMBEDDINGS, LAB_EMBEDDINGS
from bannermap.platform.vectors import pictures_held, usual_dimensions, vector_faults

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Gathered:
    """What a comparison is made on.

    Attributes:
        pictures: encoder_id -> the same pictures, in the same order, with its vectors.
        pairs: judged ones, None where none are configured.
        known: pictures that there were before the sample.
        targets: int64 (t,), ascending: places of the pictures that are asked for by name.
    """

    pictures: dict[str, Pictures]
    pairs: Pairs | None
    known: int
    targets: np.ndarray


def encoders_of(context: JobContext) -> tuple[str, ...]:
    """The encoders to compare: those configured, else the only one.

    Raises:
        InputError: one has no vectors, or there are several and none is named.
    """
    tables = [context.warehouse.read_or_empty(table).select("encoder_id") for table in (EMBEDDINGS, LAB_EMBEDDINGS)]
    known = sorted(r["encoder_id"] for r in tables[0].union(tables[1]).distinct().collect())
    wanted = named_encoders(context.settings) or tuple(known if len(known) == 1 else ())
    for name in wanted:
        if name not in known:
            raise InputError(
                f"Neither embeddings nor lab_embeddings has vectors by {name!r}, which lab.encoder_ids or clustering.encoder_id "
                f"names.{nearest(name, known)}"
            )
    if not wanted:
        raise InputError(
            f"embeddings and lab_embeddings hold vectors by {', '.join(known) or 'no encoder'}: name those to compare in "
            "lab.encoder_ids, or run embed_banners or embed_sample."
        )
    return wanted


def named_encoders(settings: Settings) -> tuple[str, ...]:
    """lab.encoder_ids, else clustering.encoder_id; empty where neither is set."""
    single = settings.clustering.encoder_id
    return settings.lab.encoder_ids or ((single,) if single else ())


def nodes_of_warehouse(context: JobContext, encoder_id: str, banners: DataFrame) -> DataFrame:
    """`FACTS` and the vector, null without one, of each distinct picture.

    Args:
        context: of the run.
        encoder_id: whose vectors.
        banners: of `with_advertisers`, persisted; they are gone over twice.
    """
    stored = stored_vectors(context, encoder_id)
    held = pictures_held(banners, stored).select("node_id", "content_hash")
    joined = facts_of(banners).join(held, "node_id", "left").join(stored, "content_hash", "left")
    return joined.select(*FACTS, "vector")


def stored_vectors(context: JobContext, encoder_id: str) -> DataFrame:
    """content_hash, each once, and vector: those of embed_banners, and those of embed_sample where that made none."""
    whole, sampled = (
        context.warehouse.read_or_empty(table).where(F.col("encoder_id") == encoder_id).select("content_hash", "vector")
        for table in (EMBEDDINGS, LAB_EMBEDDINGS)
    )
    return whole.union(sampled.join(whole, "content_hash", "left_anti"))


def nodes_of_files(spark: SparkSession, path: str) -> DataFrame:
    """The same of Parquet with content_hash and vector, and whatever else of it is there (dt for the day).

    Raises:
        InputError: a column that has to be there is not.
    """
    frame = spark.read.parquet(path)
    absent = {"content_hash", "vector"} - set(frame.columns)
    if absent:
        raise InputError(f"{path} has no column {' and '.join(sorted(absent))}; it needs content_hash and vector.")
    given = {"node_id": "content_hash", "first_seen_dt": "dt"}
    columns = [
        (F.col(given.get(c, c)) if given.get(c, c) in frame.columns else F.lit(None)).cast(kind).alias(c)
        for c, kind in FACTS.items()
    ]
    rows = frame.select(*columns, F.col("vector").cast("array<float>").alias("vector"))
    rest = [c for c in rows.columns if c != "node_id"]
    return rows.groupBy("node_id").agg(F.min(F.struct(*rest)).alias("m")).select("node_id", "m.*")  # each once


def checked(nodes: DataFrame) -> DataFrame:
    """The nodes with ``reason``: why one cannot be compared, null where it can.

    Args:
        nodes: persisted; they are gone over here already.
    """
    return vector_faults(nodes, usual_dimensions(nodes))


def usable(nodes: DataFrame) -> DataFrame:
    """Of `checked`, those that can be compared."""
    return nodes.where("reason IS NULL").drop("reason")


def faults(nodes: DataFrame) -> dict[str, int]:
    """Of `checked`, how many can't be compared, by reason."""
    return {r["reason"]: r["count"] for r in nodes.where("reason IS NOT NULL").groupBy("reason").count().collect()}


def gathered(nodes: dict[str, DataFrame], known: DataFrame, named: Named, rows: int, settings: LabSettings) -> Gathered:
    """Draw the sample and fetch its vectors.

    Args:
        nodes: encoder_id -> `FACTS` and vector.
        known: `FACTS` of all pictures, with a vector or without.
        named: those that have to be in it.
        rows: of the sample.
        settings: strata and seed.

    Raises:
        InputError: there are fewer than two pictures, or vectors of different lengths.
    """
    first, *others = nodes.values()
    shared = first.select(*FACTS)
    for other in others:
        shared = shared.join(other.select("node_id"), "node_id", "left_semi")
    count = shared.count()
    sample = _sample(shared, count, known, named, rows, settings)
    if len(sample) < 2:
        raise InputError(
            f"There are {count} pictures with vectors, and nothing can be compared on fewer than 2. Run embed_banners."
        )
    with_vectors = {name: _with_vectors(sample, frame, name) for name, frame in nodes.items()}
    asked = np.flatnonzero(np.isin(sample.names.astype(str), sorted(named.targets)))
    return Gathered(with_vectors, _pairs(sample, named.pairs) if named.pairs else None, count, asked)


def _sample(shared: DataFrame, count: int, known: DataFrame, named: Named, rows: int, settings: LabSettings) -> Pictures:
    """What is drawn of the known pictures, as far as these have vectors; in place of the others some that have.

    So the sample is that of embed_sample wherever its pictures have vectors, whatever else has some.
    """
    drawn = draw(known, named.nodes, rows, settings)
    names = frame_of_names(shared.sparkSession, list(drawn.names))
    held = {r["node_id"] for r in shared.select("node_id").join(F.broadcast(names), "node_id", "left_semi").collect()}
    if absent := len(named.nodes - held):
        what = f"{absent:,} of {len(named.nodes):,} pictures"
        say(f"{what} that lab.targets and lab.pairs name have no usable vector of each encoder: they are left out")
    if len(held) < len(drawn):
        what = f"{len(drawn) - len(held):,} of the {len(drawn):,} pictures of the sample"
        say(f"{what} have no usable vector of each encoder: others take their places, if there are any; see embed_sample")
    if len(held) >= min(rows, count):
        return drawn.of(np.array([name in held for name in drawn.names], bool))
    return draw(shared, held, rows, settings)


def _with_vectors(sample: Pictures, frame: DataFrame, encoder_id: str) -> Pictures:
    wanted = frame_of_names(frame.sparkSession, list(sample.names))
    found = frame.select("node_id", "vector").join(F.broadcast(wanted), "node_id").toArrow()
    try:
        vectors = vectors_of(found["vector"].combine_chunks())
    except ValueError as error:
        raise InputError(f"Vectors by {encoder_id} cannot be compared: {error}. Embed those pictures again.") from None
    place = {name: row for row, name in enumerate(found["node_id"].to_pylist())}
    order = np.array([place[name] for name in sample.names], np.int64)
    rows = unit_rows(vectors[order])
    return Pictures(**{**vars(sample), "vectors": rows})


def _pairs(sample: Pictures, pairs: Sequence[tuple[str, str, bool]]) -> Pairs:
    place = {name: row for row, name in enumerate(sample.names)}
    known = [(place[a], place[b], alike) for a, b, alike in pairs if a in place and b in place]
    ends = np.array([(a, b) for a, b, _ in known], np.int64).reshape(-1, 2)
    return Pairs(ends[:, 0], ends[:, 1], np.array([alike for _, _, alike in known], bool))
