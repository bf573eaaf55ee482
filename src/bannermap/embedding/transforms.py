"""Frames in, frames out: which addresses to fetch, which vectors are missing, and the rows of the tables."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.embedding.frames import ADDRESSES, CONTENTS, IMAGES, STORED_IMAGES
from bannermap.embedding.statuses import FINAL_FAILURES, OK
from bannermap.platform.tables import EMBEDDINGS, IMAGE_BYTES, IMAGE_FETCHES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.embedding.fetching.cache import ImageCache
    from bannermap.embedding.kernel import ImageKernel
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


def fetched_images(pairs: DataFrame, kernel: ImageKernel, tasks: int) -> DataFrame:
    """`IMAGES` of the distinct addresses: an address that several banners share is fetched once."""
    addresses = ADDRESSES.select(pairs).distinct().repartition(tasks, "image_url")
    return addresses.mapInArrow(kernel.from_addresses, IMAGES.schema)


def encoded_images(missing: DataFrame, image_bytes: DataFrame, kernel: ImageKernel, tasks: int) -> DataFrame:
    """`IMAGES` of stored bytes that have no vector of this encoder yet: nothing is fetched again."""
    stored = STORED_IMAGES.select(image_bytes.join(missing, "content_hash", "left_semi"))
    return stored.repartition(tasks, "content_hash").mapInArrow(kernel.from_bytes, IMAGES.schema)


def contents_without_vector(today: DataFrame, fetches: DataFrame, embeddings: DataFrame, encoder_id: str) -> DataFrame:
    """content_hash of pictures of the day's banners for which the encoder has made no vector."""
    pictures = fetches.where(F.col("status") == OK).join(today.select("banner_id").distinct(), "banner_id", "left_semi")
    made = embeddings.where(F.col("encoder_id") == encoder_id)
    return pictures.select("content_hash").distinct().join(made, "content_hash", "left_anti")


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


def put_in_cache(images: DataFrame, cache: ImageCache) -> DataFrame:
    """`CONTENTS` of decodable images, each stored in the cache as its row is computed: an action has to ask for them."""
    return STORED_IMAGES.select(byte_rows(images)).mapInArrow(cache.put_batches, CONTENTS.schema)


def images_of_cache(missing: DataFrame, cache: ImageCache) -> DataFrame:
    """`STORED_IMAGES` of contents that the cache has; in place of `IMAGE_BYTES`."""
    return CONTENTS.select(missing).mapInArrow(cache.get_batches, STORED_IMAGES.schema)


def vector_rows(images: DataFrame, encoder_id: str) -> DataFrame:
    """`EMBEDDINGS`: one vector per distinct content."""
    made = images.where("vector IS NOT NULL").dropDuplicates(["content_hash"])
    return EMBEDDINGS.select(made.withColumn("encoder_id", F.lit(encoder_id)))
