"""What every test shares: one Spark session, warehouses in temporary folders, the real data where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from class_archive import make_beside
from repository import ROOT
from small_spark import JVM, LASTING_JVM, SMALL

from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse

SHARED_DATA = Path(os.environ.get("BANNERMAP_TEST_DATA", ROOT.parent / "shared" / "data"))


LONGEST = (
    *("test_jobs_cluster.py", "test_jobs_killed.py", "test_features_days.py", "test_jobs_pipeline.py"),
    *("test_features_erasure.py", "test_clustering_replay.py", "test_clustering_days.py", "test_features_kills.py"),
    *("test_features_backfill.py", "test_report_job.py", "test_embedding_stage.py", "test_embedding_kills.py"),
    *("test_clustering_assign_days.py", "test_clustering_audit_faults.py", "test_jobs_at_once.py"),
)
"""Of many files for few processes the longest go first, so that none is left alone at the end. The chain that test_jobs_cluster
makes is there when test_jobs_pipeline begins: two that begin at once would wait for each other."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where several processes are about to start, make what lets Java start faster."""
    if getattr(session.config.option, "numprocesses", None):
        make_beside()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; within a file all stays as it is."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def base_settings() -> Settings:
    """conf/base.yaml with what a small machine wants, and the encoder that needs no model: most tests are not about vectors."""
    return load_settings(ROOT / "conf/base.yaml", [ROOT / "conf/local.yaml"], ["encoder.name=perceptual"])


@pytest.fixture(scope="session")
def spark(base_settings, tmp_path_factory):
    """One session for all tests of a process: starting one costs seconds."""
    scratch = tmp_path_factory.mktemp("spark")
    jvm = LASTING_JVM if "PYTEST_XDIST_WORKER" in os.environ else JVM
    extra = {
        **SMALL,
        "spark.driver.memory": "2g",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch / "local"),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={scratch} {jvm}",
    }
    session = build_session(base_settings.spark.model_copy(update={"extra": extra}))
    yield session
    session.stop()


@pytest.fixture
def warehouse(spark, tmp_path) -> Warehouse:
    """An empty warehouse."""
    return Warehouse(spark, str(tmp_path / "warehouse"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and logs; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}; set BANNERMAP_TEST_DATA")
    return SHARED_DATA
