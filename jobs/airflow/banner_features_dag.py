"""The jobs of a day as a DAG of Airflow 3; put this file, alone, where Airflow looks for DAGs. It imports only Airflow.

A run works on the day that its data interval begins with. Each task submits one job, which can be killed and run again, so tasks
are retried; runs come one at a time and oldest first, so a day has one writer and clusters inherit their ids in order. A range of
days again: `airflow backfill create --dag-id banner_features --from-date 2026-03-01 --to-date 2026-03-28`.

What it needs is read from the environment of the scheduler, the DAG processor and the workers:

- BANNERMAP_HOME: the repository, where a job was run once, which makes `.venv`; /opt/bannermap without.
- BANNERMAP_CONFIG: overlays on conf/base.yaml, separated by colons; none without.
- BANNERMAP_PROPERTIES: file of Spark settings for all tasks; BANNERMAP_GPU_PROPERTIES: for embed_banners, as conf/spark/gpu.conf.
- BANNERMAP_DRIVER_MEMORY: of each driver; 4g without.
- BANNERMAP_HOUR: hour, UTC, at which the logs of the day before are complete; 2 without.
- BANNERMAP_PUBLISH: 1 adds publish_clusters, which asks the environment for MongoDB's address (docs/publishing.md).
- BANNERMAP_DEADLINE_HOURS: hours after the start of the day by which the run should be done, and BANNERMAP_DEADLINE_CALLBACK: the
  dotted name of an async function that the triggerer calls when it is not. Both or neither.

The connection `bannermap_spark` says where Spark is; the pool `bannermap_gpu` holds as many slots as embed jobs may run at once.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

HOME = Path(os.environ.get("BANNERMAP_HOME", "/opt/bannermap"))
CONFIGS = [path for path in os.environ.get("BANNERMAP_CONFIG", "").split(":") if path]
PYTHON = HOME / ".venv/bin/python"
DAY = "{{ data_interval_start | ds }}"
USER_FEATURES = Asset(name="bannermap_user_features", uri="bannermap://user_features/")
PUBLISHED = Asset(name="bannermap_published_clusters", uri="bannermap://published_clusters/")


def submitted(job: str, **more: object) -> SparkSubmitOperator:
    """A task that submits a job for the day of the run.

    Args:
        job: a file of jobs/ without its ending.
        more: for the operator.
    """
    options = [word for path in CONFIGS for word in ("--config", path)]
    return SparkSubmitOperator(
        task_id=job,
        conn_id="bannermap_spark",
        application=str(HOME / f"jobs/{job}.py"),
        application_args=[*options, "--date", DAY],
        name=f"bannermap {job} {DAY}",
        jars=",".join(map(str, sorted((HOME / ".venv/jars").glob("*.jar")))),
        env_vars=environment(),
        driver_memory=os.environ.get("BANNERMAP_DRIVER_MEMORY", "4g"),
        **{"properties_file": os.environ.get("BANNERMAP_PROPERTIES"), **more},
    )


def environment() -> dict[str, str]:
    """What spark-submit is started with: the Spark and the Python of the repository's environment, not those of Airflow's."""
    found = {
        "BANNERMAP_HOME": str(HOME),
        "PYSPARK_PYTHON": str(PYTHON),
        "PYSPARK_DRIVER_PYTHON": str(PYTHON),
        "SPARK_CONF_DIR": str(HOME / "conf/spark"),
        "PATH": os.pathsep.join([str(PYTHON.parent), os.environ.get("PATH", "")]),
    }
    homes = sorted((HOME / ".venv").glob("lib/python*/site-packages/pyspark"))
    return {**found, "SPARK_HOME": str(homes[0])} if homes else found


def deadline() -> DeadlineAlert | None:
    """The alert that the environment asks for."""
    hours, callback = os.environ.get("BANNERMAP_DEADLINE_HOURS"), os.environ.get("BANNERMAP_DEADLINE_CALLBACK")
    if not (hours and callback):
        return None
    return DeadlineAlert(DeadlineReference.DAGRUN_LOGICAL_DATE, timedelta(hours=float(hours)), AsyncCallback(callback))


with DAG(
    dag_id="banner_features",
    description="Banners to clusters, events to user features, for one day",
    schedule=CronDataIntervalTimetable(f"0 {int(os.environ.get('BANNERMAP_HOUR', '2'))} * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10), "execution_timeout": timedelta(hours=8)},
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
