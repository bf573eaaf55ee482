"""What a session has that spark-submit starts: the options given there, on the command line or as a cluster's defaults, win."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest
from repository import ROOT

ASK = """
import json, sys
from pathlib import Path
from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
spark = build_session(load_settings(Path(sys.argv[1]), []).spark)
print(json.dumps(dict(spark.sparkContext.getConf().getAll())))
spark.stop()
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Settings of a session under spark-submit, with options."""
    script = tmp_path_factory.mktemp("asked") / "ask.py"
    script.write_text(ASK)
    home = pyspark.__path__[0]
    own = {"SPARK_HOME": home, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": f"{ROOT}/src"}

    def ask(*options: str) -> dict[str, str]:
        line = [Path(home) / "bin/spark-submit", "--conf", "spark.ui.enabled=false", *options, script, ROOT / "conf/base.yaml"]
        said = subprocess.run(line, env=os.environ | own, capture_output=True, text=True, timeout=120)
        assert said.returncode == 0, said.stderr[-4000:]
        return json.loads(said.stdout.splitlines()[-1])

    return ask


def test_what_spark_submit_was_given_wins(asked):
    given = {"spark.sql.shuffle.partitions": "4000", "spark.driver.memory": "700m"}
    found = asked("--master", "local[1]", *(word for name, value in given.items() for word in ("--conf", f"{name}={value}")))
    assert found | given == found and found["spark.master"] == "local[1]"
    assert found["spark.sql.session.timeZone"] == "UTC"


def test_a_clusters_defaults_move_no_event_to_another_day_and_lose_no_extension(asked, tmp_path):
    theirs = "org.apache.spark.sql.delta.implicits.Theirs"
    defaults = {"spark.sql.session.timeZone": "Europe/Berlin", "spark.sql.extensions": theirs, "spark.driver.memory": "700m"}
    (tmp_path / "defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in defaults.items()))
    found = asked("--properties-file", str(tmp_path / "defaults.conf"))
    assert found["spark.sql.session.timeZone"] == "UTC" and found["spark.driver.memory"] == "700m"
    assert found["spark.sql.extensions"] == f"{theirs},io.delta.sql.DeltaSparkSessionExtension"
    assert found["spark.master"] == "local[*,4]", "where nobody names one"
