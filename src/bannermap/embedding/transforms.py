"""Frames in, frames out: which addresses to fetch, which vectors are missing, and the rows of the tables."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.embedding.frames import ADDRESSES, CONTENTS, STEPS
from bannermap.embedding.statuses import ENCODER_UNAVAILABLE, FINAL_FAILURES, OK
from bannermap.platform.tables import EMBEDDINGS, IMAGE_BYTES, IMAGE_FETCHES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import FetchSettings


def pairs_to_fetch(today: DataFrame, fetches: DataFrame, day: datetime.date, settings: FetchSettings) -> DataFrame:
    """Banners and addresses of the day that are new, or whose failure is due for another try.

    A failure that another day may mend (not one of `FINAL_FAILURES`) is due from ``retry_after_days`` after its last try until
    ``give_up_after_days`` after its first failure, both ends included. What ``retry_also`` names is due at any time.

    Args:
        today: banner_days of the day.
        fetches: image_fetches.
        day: the day; nothing else says what time it is, so that a day may be run late, again, or after a kill.
        settings: the policy.

    Returns:
        banner_id, image_url, first_failed_dt (null where it never failed).
    """
    last_tries = ("status", "fetched_dt", "first_failed_dt")
    known = fetches.select(F.col("banner_id").alias("known_id"), F.col("image_url").alias("known_url"), *last_tries)
    same = (F.col("banner_id") == F.col("known_id")) & F.col("image_url").eqNullSafe(F.col("known_url"))
    rested = F.date_add("fetched_dt", settings.retry_after_days) <= F.lit(day)
    hoped_for = F.date_add("first_failed_dt", settings.give_up_after_days) >= F.lit(day)
    due = ~F.col("status").isin(OK, *FINAL_FAILURES) & rested & hoped_for
    pairs = today.select("banner_id", "image_url").join(known, same, "left")
    wanted = pairs.where(F.col("known_id").isNull() | due | F.col("status").isin(*settings.retry_also))
    return wanted.select("banner_id", "image_url", "first_failed_dt")


def fetched_on_later_days(today: DataFrame, fetches: DataFrame, day: datetime.date) -> DataFrame:
    """`IMAGE_FETCHES` of the day's pictures that a later day's run has fetched, now as this day's.

    What reads only what was there by a day finds them then, as if the days had come in order.

    Args:
        today: banner_days of the day.
        fetches: image_fetches.
        day: the day.
    """
    later = fetches.where((F.col("status") == OK) & (F.col("fetched_dt") > F.lit(day))).alias("known")
    shown = today.select("banner_id", "image_url").alias("shown")
    same = (F.col("known.banner_id") == F.col("shown.banner_id")) & F.col("known.image_url").eqNullSafe(F.col("shown.image_url"))
    return IMAGE_FETCHES.select(later.join(shown, same, "left_semi").withColumn("fetched_dt", F.lit(day)))


def addresses_of(pairs: DataFrame) -> DataFrame:
    """`ADDRESSES` of pairs: an address that several banners share is fetched once."""
    return ADDRESSES.select(pairs).distinct()


def contents_without_vector(today: DataFrame, fetches: DataFrame, embeddings: DataFrame, encoder_ids: Sequence[str]) -> DataFrame:
    """`CONTENTS` of the day's banners for which no encoder of the chain has made a vector."""
    pictures = fetches.where(F.col("status") == OK).join(today.select("banner_id").distinct(), "banner_id", "left_semi")
    made = embeddings.where(F.col("encoder_id").isin(*encoder_ids))
    return CONTENTS.select(pictures).distinct().join(made, "content_hash", "left_anti")


def files_without_vector(files: DataFrame, made: DataFrame, encoder_ids: Sequence[str]) -> DataFrame:
    """Files of the pictures of which no file has a vector by an encoder of the chain.

    Args:
        files: node_id, content_hash.
        made: encoder_id, content_hash of the vectors that there are.
        encoder_ids: of the chain.
    """
    known = made.where(F.col("encoder_id").isin(*encoder_ids)).select("content_hash").distinct()
    done = files.join(known, "content_hash", "left_semi").select("node_id").distinct()
    return files.join(done, "node_id", "left_anti")


def fetch_rows(pairs: DataFrame, images: DataFrame, day: datetime.date) -> DataFrame:
    """`IMAGE_FETCHES`: each banner with what came of its address.

    Args:
        pairs: of `pairs_to_fetch`.
        images: `IMAGES` of their addresses.
        day: the day.
    """
    results = images.drop("data", "vector").withColumnRenamed("image_url", "fetched_url")
    joined = pairs.join(results, F.col("image_url").eqNullSafe(F.col("fetched_url")))
    first_failed = F.when(F.col("status") != OK, F.least(F.lit(day), "first_failed_dt"))  # nulls are passed over
    return IMAGE_FETCHES.select(joined.withColumn("fetched_dt", F.lit(day)).withColumn("first_failed_dt", first_failed))


def byte_rows(images: DataFrame) -> DataFrame:
    """`IMAGE_BYTES`: the bytes of decodable images, once each."""
    return IMAGE_BYTES.select(images.where("data IS NOT NULL").dropDuplicates(["content_hash"]))


def vector_rows(images: DataFrame) -> DataFrame:
    """`EMBEDDINGS`: one vector per encoder and content."""
    return EMBEDDINGS.select(images.where("vector IS NOT NULL").dropDuplicates(["encoder_id", "content_hash"]))


def totals(images: DataFrame) -> dict[str, float]:
    """What the making of images took and left, summed over tasks: seconds of each step, and pictures without a vector."""
    seconds = {f"{step}_task_s": F.sum(f"{step}_s") for step in STEPS}
    waiting = {"images_not_encoded": F.count("not_encoded"), "images_fetched": F.count("*")}
    row = images.agg(*(F.coalesce(v, F.lit(0)).alias(k) for k, v in {**seconds, **waiting}.items())).first()
    return {name: float(value) for name, value in row.asDict().items()} if row else {}


def outcomes(images: DataFrame) -> dict[str, int]:
    """How many images there are by what came of each: its status, or `ENCODER_UNAVAILABLE` of a picture that waits."""
    outcome = F.when(F.col("not_encoded").isNotNull(), F.lit(ENCODER_UNAVAILABLE)).otherwise(F.col("status"))
    return {r["outcome"]: r["count"] for r in images.groupBy(outcome.alias("outcome")).count().collect()}


def file_rows(images: DataFrame) -> DataFrame:
    """Rows of `FILE_EMBEDDINGS`: a picture that its encoder could not take has no vector and so a status of its own."""
    waits = F.col("not_encoded").isNotNull()
    status = F.when(waits, F.lit(ENCODER_UNAVAILABLE)).otherwise(F.col("status"))
    return images.withColumns({"status": status, "error": F.coalesce("not_encoded", "error")}).withColumnRenamed(
        "image_url", "file"
    )
