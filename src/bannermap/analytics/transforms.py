"""From events, banners and one clustering to the tables of the analytics; frames in, frames out."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from bannermap.analytics.audiences import audience_table
from bannermap.analytics.frames import AUDIENCES, RATES, TESTED, TESTS, WORDED
from bannermap.analytics.rates import rated_batches
from bannermap.analytics.reading import Reader, text_batches
from bannermap.analytics.tags import class_tf_idf, word_lift
from bannermap.analytics.trends import Span, trend_batches, with_q_values
from bannermap.analytics.words import worded_batches
from bannermap.platform.pseudonyms import UserKey, pseudonymiser
from bannermap.platform.tables import (
    BANNER_ATTRIBUTES,
    BANNER_TEXTS,
    EVENT_TYPES,
    UNCLUSTERED,
    WINDOWS_DAYS,
    count_column,
    window_column,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COUNTS = tuple(map(count_column, EVENT_TYPES))


def clustered_banners(cluster_members: DataFrame, clustering_id: str) -> DataFrame:
    """banner_id, cluster_id of the banners that a clustering has in a cluster, each once."""
    inside = (F.col("clustering_id") == clustering_id) & ~F.col("is_outlier") & F.col("cluster_id").isNotNull()
    return cluster_members.where(inside).select("banner_id", "cluster_id")


def cluster_day_rows(partials: DataFrame, banner_days: DataFrame, assignment: DataFrame, lg_k: int) -> DataFrame:
    """`CLUSTER_DAYS` of one day, less dt and clustering_id: a row per cluster with a banner or an event on the day.

    Args:
        partials: `user_banner_days` of the day.
        banner_days: the table's rows of the day.
        assignment: see `clustered_banners`.
        lg_k: binary logarithm of the hashes that a sketch keeps.
    """
    events = _events_by_cluster(partials, assignment, lg_k).persist()  # small, and asked for twice
    banners = _banners_by_cluster(partials, banner_days, assignment)
    joined = banners.join(events, "cluster_id", "full").fillna(0, [*COUNTS, "banners", "advertisers"])
    users = F.coalesce(F.theta_sketch_estimate("users_sketch"), F.lit(0))
    counted = joined.withColumn("users", users.cast("bigint")).crossJoin(_users_of_all(events, lg_k))
    # An estimate of a part can exceed that of the whole, within their errors.
    reach = F.least(F.col("users") / F.nullif(F.col("all_users"), F.lit(0)), F.lit(1.0))
    rows = counted.withColumn("reach", reach).drop("all_users")
    schema = StructType([*rows.schema.fields, *RATES.schema.fields])
    return rows.mapInArrow(functools.partial(rated_batches, lg_k=lg_k), schema)


def _events_by_cluster(partials: DataFrame, assignment: DataFrame, lg_k: int) -> DataFrame:
    """Counts and the users' sketch per cluster."""
    sums = [F.sum(c).cast("bigint").alias(c) for c in COUNTS]
    sketch = F.theta_sketch_agg("user_id", lg_k).alias("users_sketch")
    return _in_clusters(partials, assignment).groupBy("cluster_id").agg(*sums, sketch)


def _banners_by_cluster(partials: DataFrame, banner_days: DataFrame, assignment: DataFrame) -> DataFrame:
    """Banners per cluster, and how their advertisers share them; entropy = log2 n - sum of n_i log2 n_i / n."""
    known = banner_days.select("banner_id", "advertiser_id")
    seen = partials.where("banner_id IS NOT NULL").select("banner_id", F.lit(None).cast("string").alias("advertiser_id"))
    each = known.unionByName(seen).groupBy("banner_id").agg(F.max("advertiser_id").alias("advertiser_id"))
    by_advertiser = _in_clusters(each, assignment).groupBy("cluster_id", "advertiser_id").agg(F.count("*").alias("n"))
    n = F.when(F.col("advertiser_id").isNotNull(), F.col("n"))
    total = F.sum(n)
    entropy = F.greatest(F.log2(total) - F.sum(n * F.log2(n)) / total, F.lit(0.0))
    return by_advertiser.groupBy("cluster_id").agg(
        F.sum("n").alias("banners"),
        F.count("advertiser_id").alias("advertisers"),
        F.when(total > 0, entropy).alias("advertiser_entropy_bits"),
        (F.max(n) / total).alias("top_advertiser_share"),
    )


def _in_clusters(rows: DataFrame, assignment: DataFrame) -> DataFrame:
    """Rows with banner_id, with their cluster or `UNCLUSTERED`."""
    # Sent to every executor: joined by shuffle, popular banners would pile on one task.
    joined = rows.join(F.broadcast(assignment), "banner_id", "left")
    return joined.withColumn("cluster_id", F.coalesce("cluster_id", F.lit(UNCLUSTERED)))


def _users_of_all(events: DataFrame, lg_k: int) -> DataFrame:
    """One row: users of the whole day. A union of sketches counts a user of several clusters once."""
    whole = F.theta_sketch_estimate(F.theta_union_agg("users_sketch", lg_k)).cast("bigint")
    return events.agg(F.coalesce(whole, F.lit(0)).alias("all_users"))


def clicked_days(partials: DataFrame, assignment: DataFrame, last: datetime.date, days: int) -> DataFrame:
    """cluster_id, age (0 for ``last``), impressions and clicks of the ``days`` that end with ``last``, by one clustering."""
    first = last - datetime.timedelta(days=days - 1)
    inside = partials.where(F.col("dt").between(F.lit(first), F.lit(last)))
    # By banner first: partials are as many as users times banners, and none of their users is asked for.
    sums = [F.sum(c).cast("bigint").alias(c) for c in ("impressions", "clicks")]
    by_banner = inside.groupBy("dt", "banner_id").agg(*sums)
    age = F.datediff(F.lit(last), "dt").alias("age")
    return _in_clusters(by_banner, assignment).groupBy("cluster_id", age).agg(*sums)


def trend_rows(counted: DataFrame, span: Span, windows: Sequence[int], max_false_discoveries: float) -> DataFrame:
    """`CLUSTER_TRENDS`, less dt and clustering_id.

    Args:
        counted: see `clicked_days`.
        span: its totals by age.
        windows: of `Span.usable`.
        max_false_discoveries: see `with_q_values`.
    """

    def test(batches):  # type: ignore[no-untyped-def]
        return trend_batches(batches, span, windows)

    def control(family: pa.Table) -> pa.Table:
        return with_q_values(family.select(list(TESTS.columns)), max_false_discoveries)

    days = F.array_sort(F.collect_list(F.struct("age", "impressions", "clicks"))).alias("days")
    tests = counted.groupBy("cluster_id").agg(days).mapInArrow(test, TESTS.schema)
    return tests.groupBy("window_days", "measure").applyInArrow(control, TESTED.schema)


def clustered_ads(banner_days: DataFrame, assignment: DataFrame, last: datetime.date) -> DataFrame:
    """Each clustered banner with its attributes as of a day: of the newest day that has one, see the table banners."""
    seen = banner_days.where(F.col("dt") <= F.lit(last)).join(F.broadcast(assignment), "banner_id")
    newest = [F.max(F.when(F.col(c).isNotNull(), F.struct("dt", c)))[c].alias(c) for c in BANNER_ATTRIBUTES if c != "image_url"]
    return seen.groupBy("banner_id", "cluster_id").agg(*newest)


def unread_pictures(members: DataFrame, image_fetches: DataFrame, banner_texts: DataFrame) -> DataFrame:
    """content_hash of the members' pictures that the reader of the given texts has not read: of equal pixels one file."""
    files = picture_files(image_fetches).join(members.select("pixel_hash").distinct(), "pixel_hash")
    return files.select("content_hash").join(banner_texts, "content_hash", "left_anti")


def picture_files(image_fetches: DataFrame) -> DataFrame:
    """pixel_hash and content_hash: of files with equal pixels the smallest hash."""
    known = image_fetches.where("status = 'ok'")
    return known.groupBy("pixel_hash").agg(F.min("content_hash").alias("content_hash"))


def texts_of(pictures: DataFrame, by: Reader) -> DataFrame:
    """`BANNER_TEXTS` of pictures (content_hash, data), read in the tasks that hold them."""
    return pictures.select("content_hash", "data").mapInArrow(functools.partial(text_batches, by=by), BANNER_TEXTS.schema)


def with_picture_texts(ads: DataFrame, members: DataFrame, image_fetches: DataFrame, banner_texts: DataFrame) -> DataFrame:
    """Ads with picture_text: what one reader read in each banner's picture, null where nothing."""
    texts = (
        picture_files(image_fetches).join(banner_texts, "content_hash").select("pixel_hash", F.col("text").alias("picture_text"))
    )
    own = members.select("banner_id", "pixel_hash").join(texts, "pixel_hash").drop("pixel_hash")
    return ads.join(own, "banner_id", "left")


def tag_rows(ads: DataFrame, tags: int, min_banners: int, min_advertisers: int, min_lift: float) -> DataFrame:
    """`CLUSTER_TAGS`, less clustering_id; a word counts once per banner.

    Args:
        ads: cluster_id, advertiser_id, text, landing_url and picture_text; a row per banner.
        tags: words per cluster.
        min_banners: of the cluster, that have the word.
        min_advertisers: known ones of these banners.
        min_lift: see `word_lift`.
    """
    worded = ads.select("cluster_id", "advertiser_id", "text", "landing_url", "picture_text").mapInArrow(
        worded_batches, WORDED.schema
    )
    each = worded.select("cluster_id", "advertiser_id", F.explode("words").alias("tag"))
    counts = (F.count("*").alias("banners"), F.countDistinct("advertiser_id").alias("advertisers"))
    by_class = each.groupBy("cluster_id", "tag").agg(*counts)
    sums = {"class_words": "cluster_id", "in_all": "tag"}
    with_sums = by_class.withColumns({name: F.sum("banners").over(Window.partitionBy(by)) for name, by in sums.items()})
    whole = by_class.agg(F.sum("banners").alias("all_words"), F.countDistinct("cluster_id").alias("classes"))
    enough = (F.col("banners") >= min_banners) & (F.col("advertisers") >= min_advertisers)
    told = with_sums.where(enough).crossJoin(F.broadcast(whole))
    values = [F.col(c).cast("double") for c in ("banners", "class_words", "in_all")]
    scored = told.withColumns(
        {
            "score": F.arrow_udf(_numpy(class_tf_idf), "double")(*values, F.col("all_words") / F.col("classes")),  # type: ignore[call-overload]
            "lift": F.arrow_udf(_numpy(word_lift), "double")(*values, F.col("all_words").cast("double")),  # type: ignore[call-overload]
        }
    )
    order = Window.partitionBy("cluster_id").orderBy(F.desc("score"), "tag")
    return scored.where(F.col("lift") >= min_lift).withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= tags)


def audience_counts(counts: DataFrame, attributes: DataFrame, event: str) -> DataFrame:
    """attribute, cluster_id, value, users; all users together, each once, under a null cluster_id.

    Args:
        counts: `user_cluster_counts` of one revision.
        attributes: user_id, once each, and one column per attribute; a null is unknown and counts in no value.
        event: of `EVENT_TYPES`; who had one in the longest window is a cluster's user.
    """
    column = window_column(event, max(WINDOWS_DAYS))
    users = counts.where(F.col(column) > 0).select("user_id", "cluster_id")
    whole = users.select("user_id", F.lit(None).cast("string").alias("cluster_id")).distinct()
    names = [c for c in attributes.columns if c != "user_id"]
    cells = F.array(*[F.struct(F.lit(n).alias("attribute"), F.col(n).cast("string").alias("value")) for n in names])
    told = attributes.select("user_id", F.inline(cells)).where("value IS NOT NULL")
    return (
        users.unionByName(whole)
        .join(told, "user_id")
        .groupBy("attribute", "cluster_id", "value")
        .agg(F.count("*").alias("users"))
    )


def audience_rows(counted: DataFrame, min_users: int) -> DataFrame:
    """`CLUSTER_AUDIENCES`, less dt and clustering_id, from `audience_counts`."""
    return counted.groupBy("attribute").applyInArrow(lambda of: audience_table(of, min_users), AUDIENCES.schema)


def stored_ids(attributes: DataFrame, key: UserKey | None) -> DataFrame:
    """Attributes by user ids as tables hold them: text, or pseudonyms where there is a key."""
    plain = F.col("user_id").cast("string")
    if key is None:
        return attributes.withColumn("user_id", plain)
    return attributes.withColumn("user_id", F.arrow_udf(pseudonymiser(key), "string")(plain.cast("binary")))  # type: ignore[call-overload]


def _numpy(formula):  # type: ignore[no-untyped-def]
    """A formula over numpy arrays as one over Arrow arrays."""

    def over_arrow(*columns: pa.Array) -> pa.Array:
        return pa.array(formula(*(c.to_numpy(zero_copy_only=False) for c in columns)))

    return over_arrow
