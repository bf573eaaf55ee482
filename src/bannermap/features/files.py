"""User features from plain files: events and an assignment in, the long table and the array table out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from bannermap.features import events as e
from bannermap.features import transforms as t
from bannermap.features.arrow import Wanted
from bannermap.features.assignments import coded
from bannermap.features.layout import EPOCH
from bannermap.features.users import pseudonymised
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.files import path_exists
from bannermap.platform.pseudonyms import user_key
from bannermap.platform.runs import say
from bannermap.platform.settings import Settings
from bannermap.platform.tables import FILE_EVENT_REJECTS, FILE_USER_CLUSTER_COUNTS, FILE_USER_FEATURES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def run_on_files(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
    """Write ``out/user_cluster_counts``, ``out/user_features`` and ``out/rejects`` as of a day.

    Every event given is kept, so an event_id counts once over all of them. An event after the as-of day is not yet known; being
    later than its repetitions, it never stands in for an earlier one.

    Raises:
        ConfigError: the day is not a day, or the key of pseudonyms is absent.
        InputError: an input is absent, empty or contradicts itself.
    """
    as_of, out = _day(values["as_of"]), values["out"].rstrip("/")
    raw = e.declared_events(read_files(spark, values["events"]))
    assignment = assignment_of(read_files(spark, values["assignments"]), values["assignments"])
    # Checkpointed, not cached: a cache would outlive the files if they were written anew within the session.
    checked = pseudonymised(e.checked_events(raw, kept_days=None), user_key(settings)).localCheckpoint()
    rejects = e.rejected_rows(checked).groupBy("reason", "row_json").agg(F.count("*").alias("rows"))
    if checked.isEmpty():
        raise InputError(f"{values['events']} has no rows: nothing was written.")
    _write(FILE_EVENT_REJECTS.select(rejects), f"{out}/rejects")
    counted = e.deduplicated(e.accepted_events(checked).where(F.col("event_day") <= F.lit(as_of)), kept_days=None)
    reach = t.partials_in_reach(e.partials(counted), [as_of])
    wanted = Wanted(np.array([(as_of - EPOCH).days], np.int32), np.zeros(1, np.int32), coded([assignment.toArrow()]))
    features = t.user_feature_rows(reach, wanted).persist()
    users = features.count()
    if not users:
        raise InputError(
            f"{values['events']} has no usable event in the {t.LONGEST_WINDOW_DAYS} days up to {as_of}; "
            f"{out}/rejects holds what was refused."
        )
    day = F.lit(as_of)
    _write(FILE_USER_CLUSTER_COUNTS.select(t.long_rows(features).withColumn("dt", day)), f"{out}/user_cluster_counts")
    _write(FILE_USER_FEATURES.select(features.withColumn("dt", day)), f"{out}/user_features")
    say(f"{users} users as of {as_of}, in {out}")
    features.unpersist()


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--as-of takes a day as YYYY-MM-DD, got '{text}'. It is the last day that is counted.") from None


def read_files(spark: SparkSession, path: str) -> DataFrame:
    """Parquet or Delta.

    Raises:
        InputError: there is nothing.
    """
    from delta.tables import DeltaTable

    if not path_exists(spark, path):
        raise InputError(f"There is nothing at {path}. Check the path; Parquet or Delta is expected.")
    return spark.read.format("delta" if DeltaTable.isDeltaTable(spark, path) else "parquet").load(path)


def assignment_of(rows: DataFrame, path: str) -> DataFrame:
    """One row per clustered banner; equal repetitions are one, and a null cluster is none.

    Raises:
        InputError: a column is absent, or a banner is in two clusters.
    """
    missing = {"banner_id", "cluster_id"} - set(rows.columns)
    if missing:
        raise InputError(f"{path} lacks {', '.join(sorted(missing))}; it has {', '.join(rows.columns)}. Both columns are needed.")
    ids = F.nullif(F.trim(F.col("banner_id").cast("string")), F.lit("")).alias("banner_id")
    distinct = rows.select(ids, F.col("cluster_id").cast("string")).where("banner_id IS NOT NULL").distinct().localCheckpoint()
    twice = distinct.groupBy("banner_id").count().where("count > 1").orderBy("banner_id").head(1)
    if twice:
        raise InputError(
            f"{path} puts banner {twice[0]['banner_id']} into more than one cluster (no cluster counts as one of them), "
            "so its events would count twice. Keep one row per banner."
        )
    return distinct.where("cluster_id IS NOT NULL")


def _write(frame: DataFrame, path: str) -> None:
    frame.write.mode("overwrite").parquet(path)
