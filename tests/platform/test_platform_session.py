"""What a session has that spark-submit starts: the options given there, on the command line or as a cluster's defaults, win.
And how its driver's lines look."""

from __future__ import annotations

import datetime
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


FAIL = """
import sys
from pathlib import Path
from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
spark = build_session(load_settings(Path(sys.argv[1]), []).spark)
spark.sparkContext.parallelize([0], 1).map(lambda x: 1 / x).collect()
"""


def submitted(script: Path, *options: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a script, given the defaults' file, under spark-submit."""
    home = pyspark.__path__[0]
    own = {"SPARK_HOME": home, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": f"{ROOT}/src", **variables}
    line = [Path(home) / "bin/spark-submit", "--conf", "spark.ui.enabled=false", *options, script, ROOT / "conf/base.yaml"]
    return subprocess.run(line, env=os.environ | own, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Settings of a session under spark-submit, with options."""
    script = tmp_path_factory.mktemp("asked") / "ask.py"
    script.write_text(ASK)

    def ask(*options: str) -> dict[str, str]:
        said = submitted(script, *options)
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


def test_a_drivers_lines_are_objects_where_the_environment_asks_for_it(tmp_path):
    (tmp_path / "fail.py").write_text(FAIL)
    small = ("--master", "local[1]", "--driver-memory", "700m")
    said = submitted(tmp_path / "fail.py", *small, SPARK_CONF_DIR=f"{ROOT}/conf/spark", BANNERMAP_SPARK_LOG="json")
    lines = [json.loads(line) for line in said.stderr.splitlines() if line.startswith("{")]
    failed = next(line for line in lines if "Exception in task" in line["message"])
    assert failed["level"] == "ERROR" and failed["logger"] == "org.apache.spark.executor.Executor"
    assert "ZeroDivisionError" in failed["exception"] and datetime.datetime.fromisoformat(failed["time"]).utcoffset() is not None
