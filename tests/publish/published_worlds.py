"""Random clusterings: as rows of entries, as rows of tables, and as what a reader must find, each written out by hand."""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np

from bannermap.publish.database import Connection
from bannermap.publish.documents import batches, documents
from bannermap.publish.publication import CLUSTERS, PUBLISHED, Shelf

FIRST = datetime.date(2026, 3, 1)


@dataclass(frozen=True)
class World:
    """A clustering.

    Attributes:
        day: 0 is `FIRST`.
        sequence: of the day.
        clusters: each with ``members`` ascending by banner_id.
        retired: clusters of the day before that are no more.
        outliers: banner_ids in none.
    """

    day: int
    sequence: int
    clusters: tuple[dict[str, Any], ...]
    retired: tuple[dict[str, Any], ...]
    outliers: tuple[str, ...]

    @property
    def dt(self) -> datetime.date:
        return FIRST + datetime.timedelta(days=self.day)

    @property
    def clustering_id(self) -> str:
        return f"{self.dt}-{self.sequence:012x}"


def random_world(rng: np.random.Generator, day: int, sequence: int = 1, most: int = 12) -> World:
    """Few or many clusters of 1 to ``most`` members; ids hold what JSON and regular expressions would stumble over."""
    names = iter([f"b{n:04d}-{rng.choice(['', '/', chr(34), chr(92), 'ü', '.', '$'])}" for n in rng.permutation(2000)])
    clusters = tuple(_cluster(rng, f"{day:02d}c{n:02d}", names, most) for n in range(int(rng.integers(1, 9))))
    retired = tuple(_retired(f"{day:02d}r{n}") for n in range(int(rng.integers(0, 3))))
    return World(day, sequence, clusters, retired, tuple(next(names) for _ in range(int(rng.integers(0, 4)))))


def _cluster(rng, cluster_id, names, most) -> dict[str, Any]:
    size = int(rng.integers(1, most + 1))
    members = sorted((_member(rng, next(names)) for _ in range(size)), key=lambda m: m["banner_id"])
    events = [{"event": "created", "other_cluster_id": None, "banners": size, "fell_out": None}]
    for n in range(int(rng.integers(0, 3))):
        events.append({"event": "merged_from", "other_cluster_id": f"o{n}", "banners": int(rng.integers(1, 5)), "fell_out": None})
    return {
        "cluster_id": cluster_id,
        "born_dt": FIRST,
        "size": size,
        "nodes": len({m["pixel_hash"] for m in members}),
        "medoid": members[int(rng.integers(size))]["pixel_hash"],
        "cohesion": float(rng.random()),
        "threshold": 0.75,
        "depth": int(rng.integers(3)),
        "parent": rng.choice([None, "p"]),
        "themes": {5: "t", 10: "u"},
        "path": ["p", cluster_id],
        "members": members,
        "tags": [f"w{n}" for n in range(int(rng.integers(0, 3)))],
        "lineage": events,
    }


def _member(rng, banner_id) -> dict[str, Any]:
    return {
        "banner_id": banner_id,
        "pixel_hash": f"p{rng.integers(1000)}",
        "similarity_to_medoid": float(np.float32(rng.random())),
        "duplicate_set_id": rng.choice([None, "d"]),
        "is_retired": bool(rng.random() < 0.2),
    }


def _retired(cluster_id) -> dict[str, Any]:
    return {
        "cluster_id": cluster_id,
        "lineage": [{"event": "retired", "other_cluster_id": None, "banners": 3, "fell_out": 1}],
    }


def told_events(cluster) -> list[dict[str, Any]]:
    """Events, those of most banners first."""
    return sorted(cluster["lineage"], key=lambda e: (-e["banners"], e["event"], e["other_cluster_id"] or ""))


def told_members(cluster) -> list[dict[str, Any]]:
    """Members as documents have them: without what is absent or false."""
    found = []
    for member in cluster["members"]:
        always = {name: member[name] for name in ("banner_id", "pixel_hash", "similarity_to_medoid")}
        duplicate = {"duplicate_set_id": member["duplicate_set_id"]} if member["duplicate_set_id"] else {}
        found.append({**always, **duplicate, **({"is_retired": True} if member["is_retired"] else {})})
    return found


def told_header(cluster, per_page: int) -> dict[str, Any]:
    """What the first document of a cluster says beside its members and the publication."""
    shown = [m["banner_id"] for m in cluster["members"] if m["pixel_hash"] == cluster["medoid"]]
    plain = {name: cluster[name] for name in ("size", "nodes", "cohesion", "threshold", "depth", "parent", "path", "tags")}
    return {
        **plain,
        "kind": "cluster",
        "themes": {str(k): v for k, v in cluster["themes"].items()},
        "born_dt": str(cluster["born_dt"]),
        "medoid": {"pixel_hash": cluster["medoid"], "content_hash": f"c-{cluster['medoid']}", "banner_id": min(shown)},
        "pages": -(-len(cluster["members"]) // per_page),
        "lineage": told_events(cluster),
        "lineage_events": len(cluster["lineage"]),
    }


def told_cluster(world: World, cluster, per_page: int) -> dict[str, Any]:
    """A cluster as a reader must find it, less the names of the publication."""
    own = {"clustering_id": world.clustering_id, "dt": str(world.dt), "cluster_id": cluster["cluster_id"], "page": 0}
    return {**own, **told_header(cluster, per_page), "members": told_members(cluster)}


def told_retired(world: World, cluster) -> dict[str, Any]:
    """A cluster that is no more, likewise."""
    own = {"clustering_id": world.clustering_id, "dt": str(world.dt), "cluster_id": cluster["cluster_id"], "page": 0}
    return {**own, "kind": "retired", "lineage": cluster["lineage"], "lineage_events": 1}


def entries(world: World, per_page: int) -> list[dict[str, Any]]:
    """Rows of `frames.ENTRIES` in the order in which tasks get them."""
    empty = dict.fromkeys(("banner_id", "pixel_hash", "similarity_to_medoid", "duplicate_set_id", "is_retired", "header"))
    rows = []
    for cluster in world.clusters:
        place = {"cluster_id": cluster["cluster_id"], "page": 0}
        rows.append({**empty, **place, "header": json.dumps(told_header(cluster, per_page))})
        rows += [{**empty, **place, **m, "page": n // per_page} for n, m in enumerate(cluster["members"])]
    for cluster in world.retired:
        header = {"kind": "retired", "lineage": cluster["lineage"], "lineage_events": 1}
        rows.append({**empty, "cluster_id": cluster["cluster_id"], "page": 0, "header": json.dumps(header)})
    return rows


def job_of(world: World, documents_made: int) -> dict[str, Any]:
    """The document of `clustering_jobs`, as far as readers and the shelf look at it."""
    return {
        "_id": world.clustering_id,
        "dt": str(world.dt),
        "sequence": world.sequence,
        "state": PUBLISHED,
        "format": 1,
        "clustering_state": "current",
        "documents": documents_made,
        "statistics": {"clusters": len(world.clusters), "retired_clusters": len(world.retired)},
    }


def publish(shelf: Shelf, connection: Connection, world: World, per_page: int = 3, pause=lambda: None) -> str:
    """All steps of a publication but the Spark in between; ``pause`` is called before each of them."""
    publication_id = f"{world.clustering_id}-{uuid.uuid4().hex[:12]}"
    stamp = {"publication_id": publication_id, "clustering_id": world.clustering_id, "dt": str(world.dt)}
    made = list(documents(entries(world, per_page), stamp))
    pause()
    shelf.begin(world.clustering_id, {"dt": str(world.dt), "sequence": world.sequence}, publication_id)
    for batch in batches(made, 2, 10**6):
        pause()
        for document, _ in batch:
            write = shelf.database[CLUSTERS].replace_one
            connection.ask(lambda write=write, document=document: write({"_id": document["_id"]}, document, upsert=True))
    pause()
    shelf.switch({**job_of(world, len(made)), "publication_id": publication_id})
    pause()
    shelf.remove_old(connection.settings.keep_runs)
    return publication_id


def content(document: dict[str, Any]) -> dict[str, Any]:
    """A document less the names of its publication."""
    return {name: value for name, value in document.items() if name not in ("_id", "publication_id")}
