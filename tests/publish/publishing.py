"""Publishes a random clustering slowly, to be killed: ``publishing.py URI DATABASE SEED DAY``; says each step first."""

from __future__ import annotations

import sys
import time

import numpy as np
from published_worlds import publish, random_world

from bannermap.platform.settings import PublishSettings
from bannermap.publish.database import Connection
from bannermap.publish.publication import Shelf


def step() -> None:
    print("step", flush=True)
    time.sleep(0.02)


if __name__ == "__main__":
    uri, database, seed, day = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    connection = Connection(uri, PublishSettings(database=database, keep_runs=2))
    with connection.opened() as opened:
        publish(Shelf(opened, connection), connection, random_world(np.random.default_rng(seed), day), pause=step)
