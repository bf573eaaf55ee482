"""Publications on a real server: whole or not there for readers that never stop asking, for kills anywhere, for a line that
breaks, for runs that meet; and what goes when newer ones come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from published_worlds import content, publish, random_world, told_cluster, told_retired
from repository import ROOT

from bannermap.platform.errors import InputError, ServiceError
from bannermap.publish.publication import CLUSTERS, JOBS, NEWEST_FIRST, forsaken, named, surplus
from bannermap.publish.reading import (
    TRIES,
    WithdrawnError,
    cluster_of,
    clusters_of,
    published_job,
    read_published,
    retired_clusters,
)

PER_PAGE = 3


def told(world):
    return [told_cluster(world, c, PER_PAGE) for c in sorted(world.clusters, key=lambda c: c["cluster_id"])]


def seen(database, clustering_id=None):
    return [content(c) for c in read_published(database, clustering_id).clusters]


def stored(database):
    """Everything but the names of publications: what two databases with the same history have in common."""
    jobs = [{k: v for k, v in job.items() if k != "publication_id"} for job in database[JOBS].find().sort("_id", 1)]
    return jobs, sorted(str(content(d)) for d in database[CLUSTERS].find())


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_finds_what_was_published_and_nothing_before(seed, shelf, connection):
    world = random_world(np.random.default_rng(seed), 1)
    with pytest.raises(InputError, match="Run publish_clusters first"):
        read_published(shelf.database)
    shelf.make_indexes()
    publish(shelf, connection, world)
    job = published_job(shelf.database)
    assert seen(shelf.database) == seen(shelf.database, world.clustering_id) == told(world)
    assert [content(d) for d in retired_clusters(shelf.database, job)] == [told_retired(world, c) for c in world.retired]
    homes = {m["banner_id"]: c["cluster_id"] for c in world.clusters for m in c["members"]}
    for banner in [*homes, *world.outliers]:
        assert cluster_of(shelf.database, job, banner) == homes.get(banner)
    assert cluster_of(shelf.database, job, {"$ne": None}) is None  # a value, not an operator
    shelf.database[JOBS].update_one({"_id": job["_id"]}, {"$set": {"format": 99}})
    with pytest.raises(InputError, match="format 99"):
        read_published(shelf.database)


def without_pages(clusters):
    return [{name: value for name, value in cluster.items() if name != "pages"} for cluster in clusters]


def still_there(database, job) -> bool:
    return database[JOBS].find_one({name: job[name] for name in ("_id", "publication_id", "state")}) is not None


def whole_read(database, job):
    """What the reader gives; None where it says that the publication went, which must be so."""
    try:
        return list(clusters_of(database, job))
    except WithdrawnError:
        return [] if still_there(database, job) else None


def naive_read(database, job):
    """Documents put together without any of the reader's counts; None where the publication went meanwhile."""
    clusters: dict = {}
    for document in database[CLUSTERS].find({"publication_id": job["publication_id"], "kind": {"$ne": "retired"}}).sort("_id", 1):
        members = clusters.setdefault(document["cluster_id"], {**document, "members": []})["members"]
        members += document["members"]
    return list(clusters.values()) if still_there(database, job) else None


@pytest.mark.parametrize("read", [whole_read, naive_read])
def test_readers_never_see_half_a_run_during_twenty_publications(read, shelf, connection):
    """Ten clusterings, each published twice with pages of other sizes: documents of both would make too many members."""
    rng, worlds, wrong, reads = np.random.default_rng(5), {}, [], []
    ended = threading.Event()

    def poll():
        with connection.opened() as database:
            while not ended.is_set():
                try:
                    job = published_job(database)
                except InputError:
                    continue  # nothing yet
                found = read(database, job)
                if found is not None:
                    reads.append(job["_id"])
                    if without_pages(map(content, found)) != without_pages(told(worlds[job["_id"]])):
                        wrong.append(job["_id"])

    readers = [threading.Thread(target=poll) for _ in range(2)]
    order = [(int(day), int(sequence)) for day in rng.permutation(5) for sequence in (1, 2)]
    made = [random_world(rng, day, sequence) for day, sequence in order]
    worlds |= {w.clustering_id: w for w in made}
    for reader in readers:
        reader.start()
    for world in made:
        for per_page in (PER_PAGE, 1):
            publish(shelf, connection, world, per_page)
    ended.set()
    for reader in readers:
        reader.join()
    assert not wrong and len(set(reads)) > 1
    newest = sorted(made, key=lambda w: (w.dt, w.sequence))[-2:]
    assert [p["_id"] for p in shelf.published()] == [w.clustering_id for w in reversed(newest)]
    assert set(shelf.database[CLUSTERS].distinct("clustering_id")) == {w.clustering_id for w in newest}


def test_a_publication_killed_before_any_step_shows_the_former_one_and_is_completed_by_the_next(shelf, connection):
    """An exception stands for the kill: nothing is tidied behind it."""
    rng = np.random.default_rng(1)
    former, world = random_world(rng, 1), random_world(rng, 2)
    publish(shelf, connection, former)
    steps: list[None] = []
    publish(shelf, connection, world, pause=lambda: steps.append(None))
    clean = stored(shelf.database)
    for killed_at in range(1, len(steps) + 1):
        shelf.database.client.drop_database(shelf.database.name)
        publish(shelf, connection, former)
        left = [killed_at]

        def die(left=left):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            publish(shelf, connection, world, pause=die)
        switched = killed_at == len(steps)
        assert seen(shelf.database) == told(world if switched else former)
        publish(shelf, connection, world)
        assert stored(shelf.database) == clean


def test_killed_processes_leave_what_a_clean_run_leaves(server, shelf, connection):
    uri, rng = f"mongodb://127.0.0.1:{server}", np.random.default_rng(3)
    home = Path(__file__).parent
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", home)))
    line = [sys.executable, str(home / "publishing.py"), uri, connection.settings.database]
    former, world = random_world(np.random.default_rng(70), 1), random_world(np.random.default_rng(71), 2)
    publish(shelf, connection, former)
    environment = {**os.environ, "PYTHONPATH": paths}
    for _ in range(3):
        process = subprocess.Popen([*line, "71", "2"], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(int(rng.integers(1, 4))):
            process.stdout.readline()
        process.kill()
        process.communicate()
        assert seen(shelf.database) == told(former)
    assert subprocess.run([*line, "71", "2"], stdout=subprocess.DEVNULL, env=environment).returncode == 0
    found = stored(shelf.database)
    shelf.database.client.drop_database(shelf.database.name)
    publish(shelf, connection, former)
    publish(shelf, connection, world)
    assert found == stored(shelf.database)


def test_of_two_runs_of_one_clustering_the_later_wins_and_the_other_says_so(shelf, connection):
    world = random_world(np.random.default_rng(8), 1)
    second: list[str] = []

    def overtake():
        if not second:
            second.append("begun")
            second.append(publish(shelf, connection, world))

    steps = iter([lambda: None, overtake])
    with pytest.raises(ServiceError, match="another run began"):
        publish(shelf, connection, world, pause=lambda: next(steps, lambda: None)())
    assert published_job(shelf.database)["publication_id"] == second[1] and seen(shelf.database) == told(world)
    publish(shelf, connection, random_world(np.random.default_rng(9), 2))
    assert sorted(shelf.database[CLUSTERS].distinct("publication_id")) == sorted(p["publication_id"] for p in shelf.published())


def test_a_switch_whose_answer_was_lost_is_not_taken_for_a_failure(shelf, connection, monkeypatch):
    from pymongo.errors import AutoReconnect

    world, answers = random_world(np.random.default_rng(4), 1), []
    replace = type(shelf.database[JOBS]).replace_one

    def lose_first(collection, *arguments, **named):
        done = replace(collection, *arguments, **named)
        if collection.name == JOBS and not answers:
            answers.append(done)
            raise AutoReconnect("reset")
        return done

    monkeypatch.setattr(type(shelf.database[JOBS]), "replace_one", lose_first)
    publish(shelf, connection, world)
    assert answers and seen(shelf.database) == told(world)


def test_documents_that_are_missing_keep_a_publication_from_being_seen(shelf, connection):
    former, world = (random_world(np.random.default_rng(n), n) for n in (1, 2))
    publish(shelf, connection, former)
    own = {"clustering_id": world.clustering_id}
    steps: list[None] = []
    publish(shelf, connection, world, pause=lambda: steps.append(None))
    shelf.database[JOBS].delete_one({"_id": world.clustering_id})
    left = [len(steps) - 1]  # the step before the switch

    def lose():
        left[0] -= 1
        if not left[0]:
            last = shelf.database[JOBS].find_one({"_id": world.clustering_id})["writing"]["publication_id"]
            shelf.database[CLUSTERS].delete_one({**own, "publication_id": last})

    with pytest.raises(ServiceError, match="were not made visible"):
        publish(shelf, connection, world, pause=lose)
    assert seen(shelf.database) == told(former)


def test_a_line_that_breaks_is_tried_again_and_one_that_stays_broken_ends_clearly(shelf, connection, line):
    rng = np.random.default_rng(6)
    former, world = random_world(rng, 1), random_world(rng, 2)
    publish(shelf, connection, former)
    cuts = iter([True, False, True])

    def break_for_a_moment():
        if next(cuts, False):
            line.cut()
            line.mend()

    publish(shelf, connection, world, pause=break_for_a_moment)
    assert connection.repeated and seen(shelf.database) == told(world)
    left = [3]

    def break_for_good():
        left[0] -= 1
        if not left[0]:
            line.cut()

    with pytest.raises(ServiceError, match="is away: 3 tries") as caught:
        publish(shelf, connection, random_world(rng, 3), pause=break_for_good)
    assert f"127.0.0.1:{line.port}" in str(caught.value)
    line.mend()
    assert seen(shelf.database) == told(world)


def test_a_reader_whose_publication_goes_away_notices(shelf, connection):
    rng = np.random.default_rng(12)
    publish(shelf, connection, random_world(rng, 1))
    job = published_job(shelf.database)
    for day in (2, 3):
        publish(shelf, connection, random_world(rng, day))
    with pytest.raises(WithdrawnError):
        list(clusters_of(shelf.database, job))
    with pytest.raises(WithdrawnError):
        cluster_of(shelf.database, job, "b")
    newest = published_job(shelf.database)
    shelf.database[CLUSTERS].delete_one({"publication_id": newest["publication_id"], "kind": {"$ne": "retired"}})
    with pytest.raises(WithdrawnError):
        read_published(shelf.database)
    assert TRIES > 1


@pytest.mark.parametrize("seed", range(40))
def test_what_is_removed_follows_from_the_states_alone(seed):
    """Against the rule in words: the newest so many that are published stay, and any that is being written and not older."""
    rng, keep = np.random.default_rng(seed), int(np.random.default_rng(seed).integers(1, 4))
    jobs = []
    for n in range(int(rng.integers(0, 8))):
        state = str(rng.choice(["published", "writing"]))
        job = {"_id": n, "dt": str(rng.integers(5)), "sequence": n, "state": state, "publication_id": f"p{n}"}
        jobs.append(job | ({"writing": {"publication_id": f"w{n}"}} if state == "writing" or rng.random() < 0.3 else {}))
    jobs.sort(key=lambda j: (j["dt"], j["sequence"]), reverse=True)
    visible = [j for j in jobs if j["state"] == "published"]
    gone = {j["_id"] for j in surplus(visible, keep)} | {j["_id"] for j in forsaken(jobs, keep)}
    oldest = min(((j["dt"], j["sequence"]) for j in visible[:keep]), default=None) if len(visible) >= keep else None
    for job in jobs:
        place = (job["dt"], job["sequence"])
        assert (job["_id"] in gone) == (oldest is not None and place < oldest)
    hidden = [{**j, "state": "removing"} if j["_id"] in gone else j for j in jobs]
    stays = {j["publication_id"] for j in visible if j["_id"] not in gone}
    stays |= {j["writing"]["publication_id"] for j in jobs if j["_id"] not in gone and "writing" in j}
    assert set(named(hidden)) == stays
    assert NEWEST_FIRST == [("dt", -1), ("sequence", -1)]
