"""From tables or files to the pictures that strategies are compared on: frames in, arrays out."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.lab.arrow_vectors import vectors_of
from bannermap.lab.data import Pictures, stratified
from bannermap.lab.figures import Pairs
from bannermap.lab.separation import unit_rows
from bannermap.platform.errors import InputError, nearest
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import LabSettings, Settings
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS
from bannermap.platform.vectors import pictures_held, usual_dimensions, vector_faults

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SeenPictures = Callable[[JobContext, str], "DataFrame"]
"""Context, encoder_id -> banner_id, first_seen_dt, pixel_hash, content_hash, width, height of all banners by the day."""
FACTS = {
    "node_id": "string",
    "advertiser_id": "string",
    "first_seen_dt": "date",
    "width": "int",
    "height": "int",
    "truth": "string",
}
MOST_FACTS = 2_000_000
"""Pictures whose facts the driver holds to draw a sample; of more, those with the smallest hashes."""
EPOCH = datetime.date(1970, 1, 1)


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
    stored = context.warehouse.read(EMBEDDINGS, "embed_banners").select("encoder_id").distinct().collect()
    known = sorted(r["encoder_id"] for r in stored)
    wanted = named_encoders(context.settings) or tuple(known if len(known) == 1 else ())
    for name in wanted:
        if name not in known:
            raise InputError(
                f"embeddings has no vectors by {name!r}, which lab.encoder_ids or clustering.encoder_id names."
                f"{nearest(name, known)}"
            )
    if not wanted:
        raise InputError(
            f"embeddings holds vectors by {', '.join(known) or 'no encoder'}: name those to compare in lab.encoder_ids, "
            "or run embed_banners."
        )
    return wanted


def named_encoders(settings: Settings) -> tuple[str, ...]:
    """lab.encoder_ids, else clustering.encoder_id; empty where neither is set."""
    single = settings.clustering.encoder_id
    return settings.lab.encoder_ids or ((single,) if single else ())


def nodes_of_warehouse(context: JobContext, encoder_id: str, seen: SeenPictures) -> DataFrame:
    """`FACTS` and the vector, null without one, of each distinct picture; the advertiser is that of its smallest banner_id."""
    days = context.warehouse.read(BANNER_DAYS, "dedupe_banners").where(F.col("dt") <= F.lit(context.dt))
    newest = F.max(F.when(F.col("advertiser_id").isNotNull(), F.struct("dt", "advertiser_id")))
    shops = days.groupBy("banner_id").agg(newest["advertiser_id"].alias("advertiser_id"))
    rows = seen(context, encoder_id).join(shops, "banner_id", "left")
    facts = (F.min_by("advertiser_id", "banner_id").alias("advertiser_id"), F.min("first_seen_dt").alias("first_seen_dt"))
    each = rows.groupBy(F.col("pixel_hash").alias("node_id")).agg(*facts)
    stored = context.warehouse.read(EMBEDDINGS, "embed_banners").where(F.col("encoder_id") == encoder_id)
    held = pictures_held(rows, stored, "width", "height").drop("banners")
    joined = each.join(held, "node_id", "left").join(stored.select("content_hash", "vector"), "content_hash", "left")
    return joined.withColumn("truth", F.lit(None).cast("string")).select(*FACTS, "vector")


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


def gathered(
    nodes: dict[str, DataFrame], targets: Sequence[str], pairs: Sequence[tuple[str, str, bool]], rows: int, settings: LabSettings
) -> Gathered:
    """Draw the sample and fetch its vectors.

    Args:
        nodes: encoder_id -> `FACTS` and vector.
        targets: node_ids that have to be in it.
        pairs: node_ids and whether they are alike, which have to be in it, too.
        rows: of the sample.
        settings: strata and seed.

    Raises:
        InputError: there are fewer than two pictures, or vectors of different lengths.
    """
    first, *others = nodes.values()
    shared = first
    for other in others:
        shared = shared.join(other.select("node_id"), "node_id", "left_semi")
    known = shared.count()
    facts, wanted = shared.select(*FACTS), {*targets, *(end for one, other, _ in pairs for end in (one, other))}
    if known > MOST_FACTS:
        drawn = facts.orderBy(F.xxhash64(F.lit(settings.seed), "node_id"), "node_id").limit(MOST_FACTS)
        named = facts.join(F.broadcast(_names(facts.sparkSession, sorted(wanted))), "node_id", "left_semi")
        facts = drawn.union(named).dropDuplicates(["node_id"])
    all_of_them = _facts(facts.orderBy("node_id").toArrow())
    places = {name: place for place, name in enumerate(all_of_them.names)}
    always = np.array(sorted(places[n] for n in wanted if n in places), np.int64)
    if len(always) < len(wanted):
        absent = f"{len(wanted) - len(always):,} of {len(wanted):,} pictures"
        say(f"{absent} that lab.targets and lab.pairs name have no usable vector of each encoder: they are left out")
    sample = all_of_them.of(stratified(all_of_them, settings.strata, rows, always, settings.seed))
    if len(sample) < 2:
        raise InputError(
            f"There are {known} pictures with vectors, and nothing can be compared on fewer than 2. Run embed_banners."
        )
    with_vectors = {name: _with_vectors(sample, frame, name) for name, frame in nodes.items()}
    asked = np.flatnonzero(np.isin(sample.names.astype(str), sorted(set(targets))))
    return Gathered(with_vectors, _pairs(sample, pairs) if pairs else None, known, asked)


def _facts(table: pa.Table) -> Pictures:
    def texts(column: str) -> np.ndarray:
        return np.array([t or "" for t in table[column].to_pylist()], object)

    def numbers(column: str) -> np.ndarray:
        return np.array([n or 0 for n in table[column].to_pylist()], np.int64)

    days = np.array([(d - EPOCH).days if d else 0 for d in table["first_seen_dt"].to_pylist()], np.int64)
    empty = np.empty((len(table), 0), np.float32)
    plain = texts("advertiser_id"), days, numbers("width"), numbers("height"), texts("truth")
    return Pictures(texts("node_id"), empty, *plain)


def _with_vectors(sample: Pictures, frame: DataFrame, encoder_id: str) -> Pictures:
    wanted = _names(frame.sparkSession, list(sample.names))
    found = frame.select("node_id", "vector").join(F.broadcast(wanted), "node_id").toArrow()
    try:
        vectors = vectors_of(found["vector"].combine_chunks())
    except ValueError as error:
        raise InputError(f"Vectors by {encoder_id} cannot be compared: {error}. Embed those pictures again.") from None
    place = {name: row for row, name in enumerate(found["node_id"].to_pylist())}
    order = np.array([place[name] for name in sample.names], np.int64)
    rows = unit_rows(vectors[order])
    return Pictures(**{**vars(sample), "vectors": rows})


def _names(spark: SparkSession, names: Sequence[str]) -> DataFrame:
    return spark.createDataFrame(pa.table({"node_id": pa.array(names, pa.string())}))


def _pairs(sample: Pictures, pairs: Sequence[tuple[str, str, bool]]) -> Pairs:
    place = {name: row for row, name in enumerate(sample.names)}
    known = [(place[a], place[b], alike) for a, b, alike in pairs if a in place and b in place]
    ends = np.array([(a, b) for a, b, _ in known], np.int64).reshape(-1, 2)
    return Pairs(ends[:, 0], ends[:, 1], np.array([alike for _, _, alike in known], bool))


def named_nodes(context: JobContext, encoder_id: str, seen: SeenPictures) -> tuple[list[str], list[tuple[str, str, bool]]]:
    """node_ids of the configured targets and pairs, by the banners that they name; those without a picture are left out, and
    how many is said."""
    settings, spark = context.settings.lab, context.warehouse.spark
    if not (settings.targets or settings.pairs):
        return [], []
    node = seen(context, encoder_id).select("banner_id", F.col("pixel_hash").alias("node"))
    targets: list[str] = []
    if settings.targets:
        asked = spark.read.parquet(settings.targets).select("banner_id").distinct()
        rows = asked.join(node, "banner_id").orderBy("node").collect()
        targets = [r["node"] for r in rows]
        _say_absent(asked.count() - len(rows), "banners of lab.targets")
    if not settings.pairs:
        return targets, []
    one, other = (node.withColumnsRenamed({"banner_id": f"banner_{e}", "node": f"node_{e}"}) for e in "ab")
    judged = spark.read.parquet(settings.pairs).select("banner_a", "banner_b", "alike")
    found = judged.join(one, "banner_a").join(other, "banner_b").orderBy("banner_a", "banner_b").collect()
    _say_absent(judged.count() - len(found), "pairs of lab.pairs")
    return targets, [(r["node_a"], r["node_b"], bool(r["alike"])) for r in found]


def _say_absent(rows: int, what: str) -> None:
    if rows > 0:
        say(f"{rows:,} {what} have no picture by the day: they are left out")
