"""The sample that strategies are compared on, drawn on what is known of pictures: no vector is needed for it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.lab.data import Pictures, stratified
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import LabSettings
from bannermap.platform.tables import BANNER_DAYS

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
class Named:
    """Pictures that have to be in a sample.

    Attributes:
        targets: node_ids.
        pairs: two node_ids, and whether they are alike.
    """

    targets: Sequence[str] = ()
    pairs: Sequence[tuple[str, str, bool]] = ()

    @property
    def nodes(self) -> set[str]:
        """All of them."""
        return {*self.targets, *(end for one, other, _ in self.pairs for end in (one, other))}


def sampled_files(context: JobContext, encoder_id: str, seen: SeenPictures) -> DataFrame:
    """The sample that a comparison of the day draws: node_id and content_hash, a row for each file of each of its pictures.

    Args:
        context: of a run of any job; the day and the section ``lab`` say what is drawn.
        encoder_id: of the vectors that are wanted; none of them is read.
        seen: the pictures of a day.

    Raises:
        InputError: no picture is known by the day.
    """
    banners = with_advertisers(context, seen(context, encoder_id)).persist()
    facts, settings = facts_of(banners).persist(), context.settings.lab
    named = named_nodes(context, banners)
    drawn, known = draw(facts, named.nodes, settings.sample_rows, settings), facts.count()
    if not known:
        raise InputError(f"No banner seen by {context.dt} has a picture. Run fetch_banners or embed_banners for its days.")
    say(f"{context.title}: a sample of {len(drawn):,} of {known:,} pictures")
    files = banners.select(F.col("pixel_hash").alias("node_id"), "content_hash").distinct()
    return files.join(F.broadcast(frame_of_names(files.sparkSession, list(drawn.names))), "node_id")


def with_advertisers(context: JobContext, banners: DataFrame) -> DataFrame:
    """What `SeenPictures` gave, with each banner's advertiser_id, the newest by the day."""
    days = context.warehouse.read(BANNER_DAYS, "dedupe_banners").where(F.col("dt") <= F.lit(context.dt))
    newest = F.max(F.when(F.col("advertiser_id").isNotNull(), F.struct("dt", "advertiser_id")))
    shops = days.groupBy("banner_id").agg(newest["advertiser_id"].alias("advertiser_id"))
    return banners.join(shops, "banner_id", "left")


def facts_of(banners: DataFrame) -> DataFrame:
    """`FACTS` of each distinct picture; the advertiser is that of its smallest banner_id, the size that of its smallest file.

    Args:
        banners: of `with_advertisers`.
    """
    each = banners.groupBy(F.col("pixel_hash").alias("node_id")).agg(
        F.min_by("advertiser_id", "banner_id").alias("advertiser_id"),
        F.min("first_seen_dt").alias("first_seen_dt"),
        F.min(F.struct("content_hash", "width", "height")).alias("file"),
    )
    return each.withColumn("truth", F.lit(None).cast("string")).select(
        *(F.col(f"file.{c}" if c in ("width", "height") else c) for c in FACTS)
    )


def draw(facts: DataFrame, always: set[str], rows: int, settings: LabSettings) -> Pictures:
    """A sample without vectors, ascending by name; see `stratified`.

    Args:
        facts: `FACTS`, each picture once; gone over several times.
        always: node_ids that are in it if they are among the facts.
        rows: of the sample.
        settings: strata and seed.
    """
    among = facts
    if facts.count() > MOST_FACTS:
        some = facts.orderBy(F.xxhash64(F.lit(settings.seed), "node_id"), "node_id").limit(MOST_FACTS)
        kept = facts.join(F.broadcast(frame_of_names(facts.sparkSession, sorted(always))), "node_id", "left_semi")
        among = some.union(kept).dropDuplicates(["node_id"])
    found = _pictures(among.orderBy("node_id").toArrow())
    places = {name: place for place, name in enumerate(found.names)}
    fixed = np.array(sorted(places[n] for n in always if n in places), np.int64)
    return found.of(stratified(found, settings.strata, rows, fixed, settings.seed))


def named_nodes(context: JobContext, banners: DataFrame) -> Named:
    """The pictures of the configured targets and pairs, by the banners that they name; those without a picture are left out, and
    how many is said.

    Args:
        context: of the run.
        banners: of `SeenPictures`, persisted; they are gone over several times.
    """
    settings, spark = context.settings.lab, context.warehouse.spark
    if not (settings.targets or settings.pairs):
        return Named()
    node = banners.select("banner_id", F.col("pixel_hash").alias("node"))
    targets: list[str] = []
    if settings.targets:
        asked = spark.read.parquet(settings.targets).select("banner_id").distinct()
        rows = asked.join(node, "banner_id").orderBy("node").collect()
        targets = [r["node"] for r in rows]
        _say_absent(asked.count() - len(rows), "banners of lab.targets")
    if not settings.pairs:
        return Named(targets)
    one, other = (node.withColumnsRenamed({"banner_id": f"banner_{e}", "node": f"node_{e}"}) for e in "ab")
    judged = spark.read.parquet(settings.pairs).select("banner_a", "banner_b", "alike")
    found = judged.join(one, "banner_a").join(other, "banner_b").orderBy("banner_a", "banner_b").collect()
    _say_absent(judged.count() - len(found), "pairs of lab.pairs")
    return Named(targets, [(r["node_a"], r["node_b"], bool(r["alike"])) for r in found])


def frame_of_names(spark: SparkSession, names: Sequence[str]) -> DataFrame:
    """One column, node_id."""
    return spark.createDataFrame(pa.table({"node_id": pa.array(names, pa.string())}))


def _pictures(table: pa.Table) -> Pictures:
    def texts(column: str) -> np.ndarray:
        return np.array([t or "" for t in table[column].to_pylist()], object)

    def numbers(column: str) -> np.ndarray:
        return np.array([n or 0 for n in table[column].to_pylist()], np.int64)

    days = np.array([(d - EPOCH).days if d else 0 for d in table["first_seen_dt"].to_pylist()], np.int64)
    empty = np.empty((len(table), 0), np.float32)
    plain = texts("advertiser_id"), days, numbers("width"), numbers("height"), texts("truth")
    return Pictures(texts("node_id"), empty, *plain)


def _say_absent(rows: int, what: str) -> None:
    if rows > 0:
        say(f"{rows:,} {what} have no picture by the day: they are left out")
