"""Tables in, small frames out: what the pages show, already cut to what fits on them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F

from bannermap.report.emphasis import curtain
from bannermap.report.frames import CURTAINS, DRAWN
from bannermap.report.thumbnails import draw

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def banner_facts(banner_days: DataFrame, day: datetime.date) -> DataFrame:
    """Per banner seen by ``day``: its newest advertiser, first and last day."""
    seen = banner_days.where(F.col("dt") <= F.lit(day))
    advertiser = F.max(F.when(F.col("advertiser_id").isNotNull(), F.struct("dt", "advertiser_id")))["advertiser_id"]
    days = (F.min("dt").alias("first_seen_dt"), F.max("dt").alias("last_seen_dt"))
    return seen.groupBy("banner_id").agg(advertiser.alias("advertiser_id"), *days)


def largest_clusters(clusters: DataFrame, limit: int) -> DataFrame:
    """The largest clusters, ties by id."""
    return clusters.orderBy(F.desc("size"), "cluster_id").limit(limit)


def cluster_facts(members: DataFrame, facts: DataFrame, advertisers: int) -> DataFrame:
    """Per cluster: first and last day, its path, its number of advertisers, and those with most banners."""
    joined = members.where("cluster_id IS NOT NULL").join(facts, "banner_id")
    counted = joined.groupBy("cluster_id", "advertiser_id").agg(
        F.count("*").alias("banners"),
        F.min("first_seen_dt").alias("first"),
        F.max("last_seen_dt").alias("last"),
        F.min("path").alias("path"),
    )
    entry = F.struct((-F.col("banners")).alias("order"), "advertiser_id", "banners")
    known = F.when(F.col("advertiser_id").isNotNull(), entry)  # collect_list leaves nulls out
    return counted.groupBy("cluster_id").agg(
        F.min("first").alias("first_seen_dt"),
        F.max("last").alias("last_seen_dt"),
        F.min("path").alias("path"),
        F.count("advertiser_id").alias("advertiser_count"),
        F.slice(F.array_sort(F.collect_list(known)), 1, advertisers).alias("advertisers"),
    )


def cluster_days(members: DataFrame, banner_days: DataFrame, first: datetime.date, last: datetime.date) -> DataFrame:
    """Per cluster and day from ``first`` to ``last``: its banners of that day."""
    days = banner_days.where(F.col("dt").between(F.lit(first), F.lit(last))).select("dt", "banner_id")
    seen = members.where("cluster_id IS NOT NULL").join(days, "banner_id")
    return seen.groupBy("cluster_id", "dt").agg(F.count("*").alias("banners"))


def shown_pictures(members: DataFrame, shown: DataFrame, per_cluster: int) -> DataFrame:
    """The pictures of the shown clusters, medoid first, then by similarity to it: cluster_id, pixel_hash, banners, similarity."""
    inside = members.join(shown.select("cluster_id", "medoid"), "cluster_id")
    pictures = inside.groupBy("cluster_id", "medoid", "pixel_hash").agg(
        F.count("*").alias("banners"), F.max("similarity_to_medoid").alias("similarity")
    )
    order = Window.partitionBy("cluster_id").orderBy(
        (F.col("pixel_hash") == F.col("medoid")).desc(), F.desc("similarity"), "pixel_hash"
    )
    ranked = pictures.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= per_cluster)
    return ranked.select("cluster_id", "pixel_hash", "banners", "similarity", "rank")


def shown_outliers(members: DataFrame, limit: int) -> DataFrame:
    """Outliers with the most banners: pixel_hash, banners, and the last group that held one of them."""
    group = F.min(F.when(F.size("path") > 0, F.element_at("path", -1))).alias("group")
    counted = members.where("is_outlier").groupBy("pixel_hash").agg(F.count("*").alias("banners"), group)
    return counted.orderBy(F.desc("banners"), "pixel_hash").limit(limit)


def fallen_out(members: DataFrame, groups: DataFrame, pictures: int) -> DataFrame:
    """Per group, the outliers that it held: how many banners, and the pictures of most banners.

    Args:
        members: `cluster_members` of one clustering.
        groups: column ``group``, those asked for, each once.
        pictures: per group.
    """
    held = members.where("is_outlier").withColumn("group", F.explode(F.array_distinct("path"))).join(groups, "group")
    counted = held.groupBy("group", "pixel_hash").agg(F.count("*").alias("banners"))
    entry = F.struct((-F.col("banners")).alias("order"), "pixel_hash", "banners")
    first = F.slice(F.array_sort(F.collect_list(entry)), 1, pictures)
    return counted.groupBy("group").agg(F.sum("banners").alias("all_banners"), first.alias("pictures"))


def size_counts(clusters: DataFrame) -> DataFrame:
    """Clusters by the largest e with 2^e banners or fewer: exponent, clusters."""
    exponent = F.length(F.bin("size")) - 1  # digits, since a logarithm may round down at 2^e
    return clusters.groupBy(exponent.alias("exponent")).agg(F.count("*").alias("clusters")).orderBy("exponent")


def share_counts(frame: DataFrame, column: str, bins: int) -> DataFrame:
    """Rows by bins of equal width from -1 to 1: bin from 0, counts; 1 lies in the last bin."""
    rounding = 1e-4  # of a bin: a float that was written as 0.95 is a little less, and belongs to the bin that starts there
    number = F.least(F.floor((F.col(column).cast("double") + 1) * bins / 2 + F.lit(rounding)), F.lit(bins - 1))
    return frame.groupBy(number.alias("bin")).agg(F.count("*").alias("counted")).orderBy("bin")


def change_counts(lineage: DataFrame) -> DataFrame:
    """Per clustering and event: distinct clusters."""
    return lineage.groupBy("clustering_id", "event").agg(F.countDistinct("cluster_id").alias("clusters"))


def changes(lineage: DataFrame, dated: DataFrame, shown: DataFrame, current: str, limit: int) -> DataFrame:
    """What happened to the shown clusters, newest first: cluster_id, dt, event, other, banners, fell_out.

    A row of another cluster that came of a shown one is told there as ``given_to``. That a cluster was kept is told for the
    current clustering, and for earlier ones only where something fell out.

    Args:
        lineage: `cluster_lineage` of any number of clusterings.
        dated: clustering_id, dt of those that are told.
        shown: column cluster_id.
        current: the clustering that is reported.
        limit: rows per cluster.
    """
    rows = lineage.join(dated, "clustering_id").where(
        (F.col("event") != "kept") | (F.col("clustering_id") == current) | (F.col("fell_out") > 0)
    )
    fields = ("dt", "event", "other", "banners", "fell_out")
    own = rows.withColumn("other", F.col("other_cluster_id")).select("cluster_id", *fields)
    given = rows.where("other_cluster_id IS NOT NULL AND other_cluster_id != cluster_id").select(
        F.col("other_cluster_id").alias("cluster_id"),
        "dt",
        F.lit("given_to").alias("event"),
        F.col("cluster_id").alias("other"),
        "banners",
        F.lit(None).cast("bigint").alias("fell_out"),
    )
    told = own.unionByName(given).join(shown.select("cluster_id"), "cluster_id")
    order = Window.partitionBy("cluster_id").orderBy(F.desc("dt"), "event", F.desc("banners"), "other")
    return told.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= limit).orderBy("cluster_id", "rank")


def pairs(near_duplicates: DataFrame, duplicate_sets: DataFrame) -> DataFrame:
    """Near duplicates with what their set suggests, and their ranks in the cluster and in the set, most similar first."""
    kept = duplicate_sets.select("set_id", "keeper_banner_id", "keeper_pixel_hash", "reason", "detail")
    order = (F.desc("cosine"), "pixel_hash_a", "pixel_hash_b")
    ranks = {"rank": "cluster_id", "set_rank": "set_id"}
    ranked = {name: F.row_number().over(Window.partitionBy(group).orderBy(*order)) for name, group in ranks.items()}
    return near_duplicates.withColumns(ranked).join(kept, "set_id", "left")


def files_to_draw(wanted: DataFrame, image_fetches: DataFrame, one_each: Callable[[DataFrame], DataFrame]) -> DataFrame:
    """Per picture one file of it that is there, and the sides to draw it at, ascending: pixel_hash, sides, content_hash.

    Args:
        wanted: pixel_hash, side; repeated rows are fine.
        image_fetches: the table.
        one_each: pixel_hash, content_hash -> the same, one of each picture whose bytes are there.
    """
    sides = wanted.groupBy("pixel_hash").agg(F.array_sort(F.collect_set("side")).alias("sides"))
    files = image_fetches.where("status = 'ok'").join(sides, "pixel_hash").select("pixel_hash", "content_hash")
    return sides.join(one_each(files), "pixel_hash")


def drawn(files: DataFrame, bytes_of: Callable[[DataFrame], DataFrame]) -> DataFrame:
    """`DRAWN` of the pictures, drawn in the tasks that hold the bytes, each file decoded once.

    Args:
        files: of `files_to_draw`; persisted, since they are read twice.
        bytes_of: distinct content_hash -> content_hash, data.
    """
    types = (pa.string(), pa.int32(), pa.binary(), pa.float64(), pa.float64())  # of DRAWN's columns

    def paint(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [row for entry in batch.to_pylist() for row in _rows(entry)]
            columns = zip(*rows, strict=True) if rows else [()] * len(types)
            arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, list(DRAWN.columns))

    found = files.join(bytes_of(files.select("content_hash").distinct()), "content_hash")
    return found.select("pixel_hash", "sides", "data").mapInArrow(paint, DRAWN.schema)


def _rows(entry: dict) -> Iterator[tuple[object, ...]]:
    """Rows of `DRAWN`; none where the picture cannot be drawn."""
    picture = draw(entry["data"], entry["sides"])
    for side, file in picture.files.items():
        yield entry["pixel_hash"], side, file, picture.brightness, picture.sharpness


def curtains(wanted: DataFrame, image_fetches: DataFrame, embeddings: DataFrame) -> DataFrame:
    """`CURTAINS` of pictures whose encoder said where it looked.

    Animations have none: what is shown of them may be another frame than the one that was encoded.

    Args:
        wanted: pixel_hash, distinct.
        image_fetches: the table.
        embeddings: rows of one encoder_id.
    """

    def weave(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            woven = pa.array([curtain(emphasis) for emphasis in batch.column(1).to_pylist()], pa.binary())
            yield pa.RecordBatch.from_arrays([batch.column(0), woven], list(CURTAINS.columns))

    files = image_fetches.where("status = 'ok' AND frames = 1").join(wanted, "pixel_hash").select("pixel_hash", "content_hash")
    known = files.join(embeddings.where("emphasis IS NOT NULL").select("content_hash", "emphasis"), "content_hash")
    one = known.groupBy("pixel_hash").agg(F.min_by("emphasis", "content_hash").alias("emphasis"))  # files of equal pixels
    return one.mapInArrow(weave, CURTAINS.schema)


def addresses(wanted: DataFrame, image_fetches: DataFrame) -> DataFrame:
    """Per picture, the smallest of its addresses: pixel_hash, image_url."""
    asked = wanted.select("pixel_hash").distinct()
    known = image_fetches.where("status = 'ok'").join(asked, "pixel_hash")
    return known.groupBy("pixel_hash").agg(F.min("image_url").alias("image_url"))


def with_picture(image_fetches: DataFrame, day: datetime.date) -> DataFrame:
    """banner_id of the banners of which any address gave a picture by ``day``; repeated."""
    return image_fetches.where((F.col("status") == "ok") & (F.col("fetched_dt") <= F.lit(day))).select("banner_id")


def failures(image_fetches: DataFrame, facts: DataFrame, day: datetime.date, examples: int) -> DataFrame:
    """Of banners without a picture by ``day``, per status: banners, and some addresses with their messages."""
    without = facts.join(with_picture(image_fetches, day), "banner_id", "left_anti")
    failed = image_fetches.where("status != 'ok'").join(without, "banner_id", "left_semi")
    example = F.slice(F.array_sort(F.collect_set(F.struct("image_url", "error"))), 1, examples)
    return failed.groupBy("status").agg(F.countDistinct("banner_id").alias("banners"), example.alias("examples"))


def left_out(
    members: DataFrame, image_fetches: DataFrame, facts: DataFrame, day: datetime.date, retire_after_days: int
) -> DataFrame:
    """One row: how many banners have a picture by ``day`` and are no members, by why: no_vector, retired.

    Args:
        members: `cluster_members` of one clustering.
        image_fetches: the table.
        facts: of `banner_facts`.
        day: of the clustering.
        retire_after_days: days without being seen, after which the clustering drops a banner.
    """
    absent = facts.join(with_picture(image_fetches, day), "banner_id", "left_semi").join(members, "banner_id", "left_anti")
    retired = F.col("last_seen_dt") <= F.lit(day - datetime.timedelta(retire_after_days))
    return absent.agg(F.count_if(~retired).alias("no_vector"), F.count_if(retired).alias("retired"))


def click_figures(user_cluster_counts: DataFrame) -> DataFrame:
    """Per cluster: impressions and clicks of the last 30 days over all users."""
    return user_cluster_counts.groupBy("cluster_id").agg(
        F.sum("impressions_30d").alias("impressions"), F.sum("clicks_30d").alias("clicks")
    )


def telling_audiences(cluster_audiences: DataFrame, shown: DataFrame, per_cluster: int) -> DataFrame:
    """Lifts of the shown clusters whose interval leaves 1 out, those whose nearer bound is furthest from 1 first."""
    distance = F.greatest(F.log("lift_low"), -F.log("lift_high"))
    order = Window.partitionBy("cluster_id").orderBy(F.desc(distance), "attribute", "value")
    inside = cluster_audiences.where("lift_low > 1 OR lift_high < 1").join(shown.select("cluster_id"), "cluster_id")
    return inside.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= per_cluster).orderBy("cluster_id", "rank")


def surest_trends(cluster_trends: DataFrame, per_direction: int) -> DataFrame:
    """Clusters that rise, then those that fall, by window and measure, the smallest q-values first."""
    changed = cluster_trends.where("trend IN ('rises', 'falls')")
    order = Window.partitionBy("window_days", "measure", "trend").orderBy("q_value", "p_value", "cluster_id")
    ranked = changed.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= per_direction)
    return ranked.orderBy("window_days", "measure", F.desc("trend"), "rank")


def newest_verdicts(verdicts: DataFrame, log_losses: DataFrame, slices: int) -> DataFrame:
    """Verdicts of the newest day with any, each with its log loss: over all rows first, then the slices of most impressions."""
    keys = ["experiment_id", "model", "variant", "slice_kind", "slice_value"]
    newest = verdicts.join(F.broadcast(verdicts.agg(F.max("dt").alias("dt"))), "dt", "left_semi")
    sliced = F.col("slice_kind") != "all"
    order = Window.partitionBy("experiment_id", sliced).orderBy(F.desc("impressions"), *keys)
    ranked = newest.withColumn("rank", F.row_number().over(order)).where(~sliced | (F.col("rank") <= slices))
    return ranked.join(log_losses.drop("dt"), keys, "left").orderBy("experiment_id", sliced, "rank")


def newest_comparison(results: DataFrame) -> DataFrame:
    """Rows of the newest comparison of strategies, by its day and number; ranked ones first, best first."""
    newest = results.agg(F.max(F.struct("dt", "sequence", "comparison_id")).alias("c")).select("c.*")
    rows = results.join(F.broadcast(newest), ["dt", "comparison_id"], "left_semi")
    return rows.orderBy("encoder_id", F.asc_nulls_last("place"), "configuration")
