"""Run by the Python of an environment with Airflow: loads the DAG's file, prints its structure, and runs days of it where given.

``airflow_run.py DAG_FILE [DAY ...]``; JSON on the last line. The metadata database is that of AIRFLOW_HOME."""

from __future__ import annotations

import datetime
import importlib.util
import json
import sys
import tempfile
from pathlib import Path


def structure(dag) -> dict:
    """What the tests look at."""
    tasks = {
        t.task_id: {
            "after": sorted(t.upstream_task_ids),
            "pool": t.pool,
            "retries": t.retries,
            "at_once": t.max_active_tis_per_dag,
            "command": t._get_hook()._build_spark_submit_command(t.application),
            "outlets": [a.uri for a in t.outlets],
            "arguments": t.application_args,
        }
        for t in dag.tasks
    }
    return {"dag_id": dag.dag_id, "runs_at_once": dag.max_active_runs, "catchup": dag.catchup, "tasks": tasks}


def loaded(path: str):
    spec = importlib.util.spec_from_file_location("banner_features_dag", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(dag, day: str) -> dict:
    """One day as the scheduler would run it: asked for after its interval ended."""
    midnight = datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)
    done = dag.test(logical_date=midnight + datetime.timedelta(days=1, hours=3))
    return {"state": str(done.state), "interval_start": done.data_interval_start.isoformat()}


def ends(module, folder: Path) -> dict[int, str]:
    """Exit code of a job -> name of the error that its task ends with."""
    found = {}
    for code in range(1, 9):
        script = folder / f"ends-with-{code}"
        script.write_text(f"#!/bin/sh\nexit {code}\n")
        script.chmod(0o755)
        task = module.BannermapJob(task_id=f"t{code}", conn_id="bannermap_spark", spark_binary=str(script), application="job")
        try:
            task.execute({})
        except Exception as error:
            found[code] = type(error).__name__
    return found


if __name__ == "__main__":
    module = loaded(sys.argv[1])
    found = structure(module.dag) | {"deadline_h": [alert.interval.total_seconds() / 3600 for alert in module.dag.deadline or []]}
    with tempfile.TemporaryDirectory() as folder:
        found["ends"] = ends(module, Path(folder))
    found["runs"] = {day: run(module.dag, day) for day in sys.argv[2:]}
    print(json.dumps(found))
