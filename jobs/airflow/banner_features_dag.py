"""The jobs of a day as a DAG of Airflow 3; put this file, alone, where Airflow looks for DAGs. It imports only Airflow.

A run works on the day that its data interval begins with. Each task submits one job with ./spark-submit.sh. A job can be killed
and run again, so tasks are retried. Runs come one at a time and oldest first, so clusters inherit their ids in order. A range of
days again, those that ran before too:

    airflow backfill create --dag-id banner_features --from-date 2026-03-01 --to-date 2026-03-28T23:59 \\
        --max-active-runs 1 --reprocess-behavior completed

A backfill has a width of its own, ten runs without --max-active-runs: whatever it is, no task runs beside itself, but only with 1
are days done in order. A last day without a time is its midnight, which comes before its run. A paused DAG runs no backfill;
for one that never ran, ask for the days up to yesterday first and unpause it then, or the schedule runs yesterday before them.

What it needs is read from the environment of the scheduler, the DAG processor and the workers:

- BANNERMAP_HOME: the repository; /opt/bannermap without. Its first job makes `.venv` there, so it belongs to the workers' user.
- BANNERMAP_CONFIG: overlays on conf/base.yaml, separated by colons; none without.
- BANNERMAP_PROPERTIES: file of Spark settings for all tasks; BANNERMAP_GPU_PROPERTIES: for embed_banners, as conf/spark/gpu.conf.
- BANNERMAP_DRIVER_MEMORY: of each driver; 4g without.
- BANNERMAP_HOUR: hour, UTC, at which the logs of the day before are complete; 2 without.
- BANNERMAP_PUBLISH: 1 adds publish_clusters, which asks the environment for MongoDB's address (docs/publishing.md).
- BANNERMAP_DEADLINE_HOURS: hours after the start of the day by which the run should be done, and BANNERMAP_DEADLINE_CALLBACK: the
  dotted name of an async function that the triggerer calls when it is not. Both or neither. Days of a backfill are long past
  their deadline: the function is called for each of them, and can tell them by the run's type in its context.

The connection `bannermap_spark` says where Spark is, with the driver on the worker (docs/operations.md); the pool `bannermap_gpu`
holds as many slots as embed jobs may run at once.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Asset, Context, CronDataIntervalTimetable
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

HOME = Path(os.environ.get("BANNERMAP_HOME", "/opt/bannermap"))
CONFIGS = [path for path in os.environ.get("BANNERMAP_CONFIG", "").split(":") if path]
HOUR = int(os.environ.get("BANNERMAP_HOUR", "2"))
WANTS_SOMEBODY = re.compile(r"Error code is: [2-5]\.")
"""Of exit codes: bad configuration, bad input, a result or features that were refused."""
DAY = "{{ data_interval_start | ds }}"
USER_FEATURES = Asset(name="bannermap_user_features", uri="bannermap://user_features/")
PUBLISHED = Asset(name="bannermap_published_clusters", uri="bannermap://published_clusters/")


class BannermapJob(SparkSubmitOperator):
    """A job; what another try cannot mend is not tried again."""

    def execute(self, context: Context) -> None:
        try:
            super().execute(context)
        except AirflowException as error:
            if WANTS_SOMEBODY.search(str(error)):
                raise AirflowFailException(str(error)) from error
            raise


def submitted(job: str, **more: object) -> BannermapJob:
    """A task that submits a job for the day of the run.

    Args:
        job: a file of jobs/ without its ending.
        more: for the operator.
    """
    options = [word for path in CONFIGS for word in ("--config", path)]
    return BannermapJob(
        task_id=job,
        conn_id="bannermap_spark",
        spark_binary=str(HOME / "spark-submit.sh"),  # it takes spark-submit's options, and adds what each master needs
        application=job,
        application_args=[*options, "--date", DAY],
        name=f"bannermap {job} {DAY}",
        driver_memory=os.environ.get("BANNERMAP_DRIVER_MEMORY", "4g"),
        **{"properties_file": os.environ.get("BANNERMAP_PROPERTIES"), **more},
    )


def deadline() -> DeadlineAlert | None:
    """The alert that the environment asks for."""
    hours, callback = os.environ.get("BANNERMAP_DEADLINE_HOURS"), os.environ.get("BANNERMAP_DEADLINE_CALLBACK")
    if not (hours and callback):
        return None
    left = timedelta(hours=float(hours) - HOUR)  # the logical date is the start of the data interval, at HOUR of the day
    return DeadlineAlert(DeadlineReference.DAGRUN_LOGICAL_DATE, left, AsyncCallback(callback))


with DAG(
    dag_id="banner_features",
    description="Banners to clusters, events to user features, for one day",
    schedule=CronDataIntervalTimetable(f"0 {HOUR} * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=8),
        "max_active_tis_per_dag": 1,  # max_active_runs does not bind a backfill
    },
    deadline=deadline(),
    tags=["bannermap"],
) as dag:
    dedupe = submitted("dedupe_banners")
    embed = submitted(
        "embed_banners",
        pool="bannermap_gpu",
        properties_file=os.environ.get("BANNERMAP_GPU_PROPERTIES", os.environ.get("BANNERMAP_PROPERTIES")),
    )
    cluster = submitted("cluster_banners")
    features = submitted("build_user_features", outlets=[USER_FEATURES])
    analyse = submitted("analyse_clusters")
    report = submitted("build_report")
    dedupe >> embed >> cluster >> features >> analyse >> report
    if os.environ.get("BANNERMAP_PUBLISH") == "1":
        cluster >> submitted("publish_clusters", outlets=[PUBLISHED])
