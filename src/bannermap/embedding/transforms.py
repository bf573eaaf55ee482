"""Frames in, frames out: which addresses to fetch, which vectors are missing, and the rows of the tables."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.embedding.frames import ADDRESSES, IMAGES, STORED_IMAGES
from bannermap.embedding.statuses import OK
from bannermap.platform.tables import EMBEDDINGS, IMAGE_BYTES, IMAGE_FETCHES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.embedding.kernel import ImageKernel


def pairs_to_fetch(today: DataFrame, fetches: DataFrame, day: datetime.date, retry_after_days: int) -> DataFrame:
    """Banners and addresses of the day that are new, or failed long enough ago.

    Args:
        today: banner_days of the day.
        fetches: image_fetches.
        day: the day.
        retry_after_days: a failure is tried again on this many days after it, or later.

    Returns:
        banner_id, image_url.
    """
    settled = (F.col("status") == OK) | (F.date_add("fetched_dt", retry_after_days) > F.lit(day))
    done = fetches.where(settled).select(F.col("banner_id").alias("known_id"), F.col("image_url").alias("known_url"))
    same = (F.col("banner_id") == F.col("known_id")) & F.col("image_url").eqNullSafe(F.col("known_url"))
    return today.select("banner_id", "image_url").join(done, same, "left_anti")


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
    """`IMAGE_FETCHES`: each banner with what came of its address."""
    results = images.drop("data", "vector").withColumnRenamed("image_url", "fetched_url")
    joined = pairs.join(results, F.col("image_url").eqNullSafe(F.col("fetched_url")))
    return IMAGE_FETCHES.select(joined.withColumn("fetched_dt", F.lit(day)))


def byte_rows(images: DataFrame) -> DataFrame:
    """`IMAGE_BYTES`: the bytes of decodable images, once each."""
    return IMAGE_BYTES.select(images.where("data IS NOT NULL").dropDuplicates(["content_hash"]))


def vector_rows(images: DataFrame, encoder_id: str) -> DataFrame:
    """`EMBEDDINGS`: one vector per distinct content."""
    made = images.where("vector IS NOT NULL").dropDuplicates(["content_hash"])
    return EMBEDDINGS.select(made.withColumn("encoder_id", F.lit(encoder_id)))
