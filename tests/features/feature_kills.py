"""`build_user_features` as a process that is killed at random points of a day with late events."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import feature_oracle as oracle
from processes import overlay, start
from repository import ROOT
from test_features_days import RESULTS, at, cluster, day, deliver

from bannermap.features.job import PHASES, STAGE
from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.storage import Warehouse

LAST = 31
LONGEST_WAIT_S = 1.0


@dataclass(frozen=True)
class Scene:
    """A warehouse with one day published, and the next day's log, which has late events.

    Attributes:
        config: overlay of the warehouse.
        warehouse: of this process.
    """

    config: Path
    warehouse: Warehouse

    def rerun(self) -> None:
        """The day again, in this process."""
        run_stage(STAGE, Warehouse(self.warehouse.spark, self.warehouse.root), self.settings, day(LAST))

    @property
    def settings(self):
        return load_settings(ROOT / "conf/base.yaml", [self.config])


def prepared(spark, home: Path, seed: int) -> Scene:
    """The scene; day 30 is published."""
    rng, world = random.Random(seed), home / "world"
    logs = {n: [e for g in range(4) for e in oracle.random_history(rng, f"{n}{g}", day(n), 20, 30)] for n in (LAST - 1, LAST)}
    logs[LAST].append(oracle.event("late", "click", at(LAST - 1), "late-user", "a"))
    config = overlay(world, home / "scene")
    scene = Scene(config, Warehouse(spark, str(home / "scene/warehouse")))
    for n, events in logs.items():
        deliver(world / "event_log", day(n), events)
        cluster(scene.warehouse, day(n))
    run_stage(STAGE, scene.warehouse, scene.settings, day(LAST - 1))
    return scene


def copied(scene: Scene, home: Path) -> Scene:
    """The same on a warehouse of its own."""
    shutil.copytree(scene.warehouse.root, home / "warehouse")
    world = Path(scene.settings.paths.event_log).parent
    return Scene(overlay(world, home), Warehouse(scene.warehouse.spark, str(home / "warehouse")))


def killed_somewhere(scene: Scene, rng: random.Random) -> str | None:
    """Start the day and kill it in a random phase; the phase, or None where it had ended before."""
    phase, said = rng.choice(PHASES), None
    process = start("build_user_features", scene.config, day(LAST))
    for line in process.stdout:
        if f": {phase}" in line:
            said = phase
            break
    time.sleep(rng.uniform(0.0, LONGEST_WAIT_S))
    if process.poll() is not None:
        said = None
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return said


def rows_of(warehouse: Warehouse) -> dict[str, list[str]]:
    """Table -> its rows in one order; keys are checked to be there once, and both days to be published."""
    found = {}
    for table in RESULTS:
        rows = Warehouse(warehouse.spark, warehouse.root).read(table).collect()
        assert len({tuple(r[k] for k in table.key) for r in rows}) == len(rows), table.name
        found[table.name] = sorted(map(str, rows))
        if "dt" in table.columns and table.name.startswith(("user_features", "user_cluster", "feature_")):
            assert {r["dt"] for r in rows} == {day(LAST - 1), day(LAST)}, table.name
    return found
