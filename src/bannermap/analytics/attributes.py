"""Attributes of users from a table of the operator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.analytics import transforms as t
from bannermap.platform.errors import InputError
from bannermap.platform.files import path_exists
from bannermap.platform.pseudonyms import UserKey, user_key
from bannermap.platform.runs import JobContext
from bannermap.platform.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def attribute_key(settings: Settings) -> UserKey | None:
    """The key by which ids of attributes become those of tables; null where they are the same, or none are configured.

    Raises:
        ConfigError: the key is absent or too weak.
    """
    analytics = settings.analytics
    return user_key(settings) if analytics.user_attributes and analytics.user_attribute_ids == "logged" else None


def user_attributes(context: JobContext, path: str) -> DataFrame:
    """The attributes, one row per user, ids as tables hold them.

    Raises:
        InputError: nothing is there, it lacks user_id or any attribute, or it has a user twice.
    """
    from delta.tables import DeltaTable

    spark = context.warehouse.spark
    if not path_exists(spark, path):
        raise InputError(f"There is nothing at {path}. Check analytics.user_attributes; Parquet or Delta is expected.")
    rows = spark.read.format("delta" if DeltaTable.isDeltaTable(spark, path) else "parquet").load(path)
    if "user_id" not in rows.columns or len(rows.columns) < 2:
        raise InputError(
            f"{path} has the columns {', '.join(rows.columns)}. Give it user_id and at least one attribute, such as region."
        )
    found = t.stored_ids(rows.where("user_id IS NOT NULL"), attribute_key(context.settings)).persist()
    twice = found.groupBy("user_id").count().where("count > 1").agg(F.count("*").alias("users")).collect()[0]["users"]
    if twice:
        raise InputError(f"{path} has {twice} users more than once, so they would count twice. Keep one row per user.")
    return found
