"""What every test shares: one Spark session, warehouses in temporary folders, the real data where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from repository import ROOT

from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse

SHARED_DATA = Path(os.environ.get("BANNERMAP_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def base_settings() -> Settings:
    """conf/base.yaml with what a small machine wants, and the encoder that needs no model: most tests are not about vectors."""
    return load_settings(ROOT / "conf/base.yaml", [ROOT / "conf/local.yaml"], ["encoder.name=perceptual"])


@pytest.fixture(scope="session")
def spark(base_settings, tmp_path_factory):
    """One session for all tests of a process: starting one costs seconds. Two cores and two shuffle partitions, since
    the frames are small and several test processes share the machine. One compiler and one collector thread: the JVM lives for
    minutes, and the second compiler takes a fifth of its processor time without ever paying."""
    scratch = tmp_path_factory.mktemp("spark")
    extra = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "2g",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch / "local"),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={scratch} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
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
