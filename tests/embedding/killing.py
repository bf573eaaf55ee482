"""`embed_banners` as a process that is killed again and again, and started again until it is done."""

from __future__ import annotations

import datetime
import io
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from embedding_server import MODEL, Endpoint, Reply
from PIL import Image
from processes import ERRORS, runs_program, start

from bannermap.platform.memory import family, parents_of_all
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS, IMAGE_BYTES, IMAGE_FETCHES

DAY = datetime.date(2026, 1, 1)
WRITTEN = (IMAGE_FETCHES, IMAGE_BYTES, EMBEDDINGS)


@dataclass(frozen=True)
class Kill:
    """One SIGKILL.

    Attributes:
        whom: `worker`, one of the Python processes that run tasks; or `job`, the driver and its JVM.
        after: number of requests that the encoder's server has had, or a phase that the job has named.
    """

    whom: str
    after: int | str


@dataclass
class Story:
    """What happened.

    Attributes:
        kills: by whom.
        ended: runs that did not succeed: killed, or given up after a task had failed four times.
        encoded: images that the server encoded.
        distinct: of them.
    """

    kills: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    encoded: int = 0
    distinct: int = 0


def write_pictures(folder: Path, count: int) -> list[str]:
    """Different pictures, and their names."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(count):
        pixels = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        target = io.BytesIO()
        Image.fromarray(pixels).save(target, "PNG")
        (folder / f"{number:05d}.png").write_bytes(target.getvalue())
    return sorted(p.name for p in folder.iterdir())


def serve_banners(warehouse: Warehouse, names: list[str]) -> None:
    """The day's banners: each picture, some of them twice, and some addresses that fail."""
    shown = [
        *((f"banner-{n}", n) for n in names),
        *((f"again-{n}", n) for n in names[::10]),
        ("gone", "gone.png"),
        ("none", None),
    ]
    rows = [(DAY, banner, url, None, None, None, 1, 0) for banner, url in shown]
    warehouse.overwrite_partition(BANNER_DAYS, warehouse.spark.createDataFrame(rows, BANNER_DAYS.schema), dt=DAY)


def sections(home: Path, images: Path, endpoint: Endpoint, batch_images: int) -> dict:
    """What differs from conf/base.yaml; the master does not, so that what it does about failed tasks is seen."""
    remote = {"endpoint": endpoint.address, "model": MODEL, "batch_images": batch_images}
    quiet = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.driver.memory": "1g"}
    return {
        "paths": {"warehouse": str(home / "warehouse"), "images": str(images)},
        "spark": {"extra": quiet},
        "encoder": {"name": "remote", "resolution_px": 32, "batch_images": batch_images, "remote": remote},
    }


def run_with_kills(home: Path, config: dict, endpoint: Endpoint, kills: list[Kill], rng: random.Random) -> Story:
    """Start the job, kill as told, and start it again until it succeeds."""
    home.mkdir(exist_ok=True)
    (home / "overlay.yaml").write_text(yaml.safe_dump(config))
    story, left = Story(), list(kills)
    endpoint.always = Reply(wait_s=0.1)  # long enough for kills to meet batches on their way
    while not _succeeds(home / "overlay.yaml", endpoint, left, story, rng):
        story.ended += 1
        assert story.ended < 3 * len(kills), (home / ERRORS).read_text()[-4000:]
    images = [image for request in endpoint.requests for image in request["images"]]
    story.encoded, story.distinct = len(images), len(set(images))
    return story


def rows_written(warehouse: Warehouse) -> dict[str, list[str]]:
    """Table name -> its rows in one order, keys checked to be there once."""
    found = {}
    for table in WRITTEN:
        rows = warehouse.read(table).collect()
        assert len({tuple(r[k] for k in table.key) for r in rows}) == len(rows), table.name
        found[table.name] = sorted(map(str, rows))
    return found


def _succeeds(config: Path, endpoint: Endpoint, left: list[Kill], story: Story, rng: random.Random) -> bool:
    process, printed = start("embed_banners", config, DAY), []
    reader = threading.Thread(target=lambda: printed.extend(iter(process.stdout.readline, "")))
    reader.start()
    while process.poll() is None:
        if left and _is_due(left[0], endpoint, printed) and _killed(left[0].whom, process, rng):
            story.kills[left.pop(0).whom] += 1
        time.sleep(0.01)
    reader.join()
    return process.returncode == 0


def _is_due(kill: Kill, endpoint: Endpoint, printed: list[str]) -> bool:
    if isinstance(kill.after, int):
        return len(endpoint.requests) >= kill.after
    return any(kill.after in line for line in printed)


def _killed(whom: str, process: subprocess.Popen, rng: random.Random) -> bool:
    time.sleep(rng.uniform(0.0, 0.15))
    if whom == "job":
        os.killpg(process.pid, signal.SIGKILL)
        return True
    workers = _workers(process.pid)
    if workers:
        os.kill(rng.choice(workers), signal.SIGKILL)
    return bool(workers)


def _workers(root: int) -> list[int]:
    """Python processes that run tasks: forks of a daemon, itself a child of the JVM."""
    parents = parents_of_all()
    daemons = [pid for pid in family([root], parents) if runs_program(pid, b"pyspark.daemon")]
    return [pid for pid in daemons if parents[pid] in daemons]
