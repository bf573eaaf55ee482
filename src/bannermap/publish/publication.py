"""How a clustering becomes visible as a whole: a publication has documents of its own, and one update of one document switches.

A run names its publication first, writes its documents under that name, and then replaces the clustering's document in
``clustering_jobs``, from which every reader starts. Nothing that was published is ever changed, and no two runs write the same
document, so neither a run that was killed nor one that goes on by mistake can harm what readers see. Removing goes the other
way round: what is to go stops being visible before its documents do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import ServiceError
from bannermap.publish.database import Connection

if TYPE_CHECKING:
    from pymongo.database import Database

JOBS, CLUSTERS = "clustering_jobs", "clusters"
WRITING, PUBLISHED, REMOVING = "writing", "published", "removing"
NEWEST_FIRST = [("dt", -1), ("sequence", -1)]
REMOVED_AT_ONCE = 1000
INDEXES: Mapping[str, Sequence[Sequence[tuple[str, int]]]] = {
    JOBS: ([("state", 1), *NEWEST_FIRST],),
    CLUSTERS: (
        [("publication_id", 1), ("cluster_id", 1), ("page", 1)],
        [("publication_id", 1), ("members.banner_id", 1)],
        [("cluster_id", 1), ("dt", 1)],
    ),
}
"""For the newest run, whole clusters in order, the cluster of a banner, and a cluster over the days."""


@dataclass(frozen=True)
class Shelf:
    """The two collections, and what may be done with them; each call gives the same when it is repeated.

    Attributes:
        database: opened.
        connection: which tries again.
    """

    database: Database[dict[str, Any]]
    connection: Connection

    def reach(self) -> None:
        """Raise where the database is away or the login does not do."""
        self.connection.ask(lambda: self.database.command("ping"))
        self.connection.ask(lambda: self.database[JOBS].find_one({}, {"_id": 1}))

    def job(self, clustering_id: str) -> dict[str, Any] | None:
        """A clustering's document."""
        return self.connection.ask(lambda: self.database[JOBS].find_one({"_id": clustering_id}))

    def published(self) -> list[dict[str, Any]]:
        """The published clusterings, newest first: their ids, days and publications."""
        names = {"dt": 1, "sequence": 1, "publication_id": 1}
        found = self.database[JOBS].find({"state": PUBLISHED}, names).sort(NEWEST_FIRST)
        return self.connection.ask(lambda: list(found.clone()))

    def make_indexes(self) -> None:
        """Make the indexes that are not there yet."""
        for name, indexes in INDEXES.items():
            for keys in indexes:
                self.connection.ask(lambda name=name, keys=keys: self.database[name].create_index(keys))  # type: ignore[misc]

    def begin(self, clustering_id: str, place: Mapping[str, Any], publication_id: str) -> None:
        """Name the publication that is about to be written: until then its documents would be taken for left behind.

        Args:
            clustering_id: which.
            place: ``dt`` and ``sequence``.
            publication_id: of this run; one that another run of the same clustering had begun gives way.
        """
        own, jobs = {"_id": clustering_id}, self.database[JOBS]
        fresh = {**place, "clustering_id": clustering_id, "state": WRITING}
        noted = {"$set": {"writing": {"publication_id": publication_id}}, "$setOnInsert": fresh}
        self.connection.ask(lambda: jobs.update_one({**own, "state": REMOVING}, {"$set": {"state": WRITING}}))
        self.connection.ask(lambda: jobs.update_one(own, noted, upsert=True))

    def switch(self, job: Mapping[str, Any]) -> None:
        """Make a publication visible in place of the clustering's former one.

        Args:
            job: the clustering's whole document, with how many documents the publication must have.

        Raises:
            ServiceError: documents are missing, or another run began meanwhile; what was visible still is.
        """
        found = self.count(job["publication_id"])
        if found != job["documents"]:
            raise ServiceError(
                f"Of {job['documents']} documents of {job['_id']} {found} are in the database, so they were not made visible. "
                "Does something else remove documents there? Run the job again."
            )
        standing = {"state": {"$in": [WRITING, PUBLISHED]}}
        mine = {"_id": job["_id"], "writing.publication_id": job["publication_id"], **standing}
        done = self.connection.ask(lambda: self.database[JOBS].replace_one(mine, job))
        now = None if done.matched_count else self.job(job["_id"])  # an answer that was lost had done it
        if not done.matched_count and (now or {}).get("publication_id") != job["publication_id"]:
            raise ServiceError(
                f"{job['_id']} was not made visible: another run began to publish the same clustering after this one, or newer "
                "clusterings have taken all places of publish.keep_runs. If the other run ended badly, run the job again."
            )

    def refresh(self, job: Mapping[str, Any]) -> None:
        """Write what is known of a clustering whose publication stays the same."""
        same = {"_id": job["_id"], "publication_id": job["publication_id"], "state": PUBLISHED}
        self.connection.ask(lambda: self.database[JOBS].replace_one(same, job))

    def note_states(self, states: Mapping[str, str]) -> None:
        """Bring ``clustering_state`` of published clusterings up to date: one that was current may be stale by now.

        Args:
            states: clustering_id -> state in the table `clusterings`.
        """
        for name in (job["_id"] for job in self.published()):
            if name in states:
                change = {"$set": {"clustering_state": states[name]}}
                own = {"_id": name, "clustering_state": {"$ne": states[name]}}
                self.connection.ask(lambda own=own, change=change: self.database[JOBS].update_one(own, change))  # type: ignore[misc]

    def count(self, publication_id: str) -> int:
        """How many documents of a publication there are."""
        return self.connection.ask(lambda: self.database[CLUSTERS].count_documents({"publication_id": publication_id}))

    def remove_old(self, keep: int) -> tuple[list[str], int]:
        """Remove the published clusterings but the newest, and documents that no run names.

        Args:
            keep: how many stay.

        Returns:
            The ids of the clusterings that went, and how many documents did.
        """
        # Before the runs are asked: documents of one that begins meanwhile are not among these.
        stored = self.connection.ask(lambda: list(self.database[CLUSTERS].distinct("publication_id")))
        gone = surplus(self.published(), keep)
        for job in gone:
            self._hide({"_id": job["_id"], "publication_id": job["publication_id"], "state": PUBLISHED})
        for job in forsaken(self._jobs(), keep):
            self._hide({"_id": job["_id"], "writing": job["writing"], "state": WRITING})
        removed = sum(map(self._remove_documents, sorted(set(stored) - set(named(self._jobs())))))
        self.connection.ask(lambda: self.database[JOBS].delete_many({"state": REMOVING}))
        return [job["_id"] for job in gone], removed

    def _jobs(self) -> list[dict[str, Any]]:
        columns = dict.fromkeys(("state", "dt", "sequence", "publication_id", "writing"), 1)
        return self.connection.ask(lambda: list(self.database[JOBS].find({}, columns).sort(NEWEST_FIRST)))

    def _hide(self, job: Mapping[str, Any]) -> None:
        self.connection.ask(lambda: self.database[JOBS].update_one(job, {"$set": {"state": REMOVING}}))

    def _remove_documents(self, publication_id: str) -> int:
        """In pieces: one command for millions would outlast any time limit."""
        documents, removed = self.database[CLUSTERS], 0
        while True:
            found = documents.find({"publication_id": publication_id}, {"_id": 1}).limit(REMOVED_AT_ONCE)
            ids = self.connection.ask(lambda found=found: [d["_id"] for d in found.clone()])  # type: ignore[misc]
            if not ids:
                return removed
            self.connection.ask(lambda ids=ids: documents.delete_many({"_id": {"$in": ids}}))  # type: ignore[misc]
            removed += len(ids)


def surplus(published: Sequence[Mapping[str, Any]], keep: int) -> list[Mapping[str, Any]]:
    """What goes of the published clusterings, given newest first, when so many are kept."""
    return list(published[keep:])


def forsaken(jobs: Sequence[Mapping[str, Any]], keep: int) -> list[Mapping[str, Any]]:
    """Clusterings whose publication began and never ended, older than all that are kept: nobody will complete them.

    Args:
        jobs: all, newest first.
        keep: published clusterings that stay.
    """
    kept = [n for n, job in enumerate(jobs) if job["state"] == PUBLISHED][:keep]
    older = jobs[kept[-1] :] if len(kept) == keep else ()
    return [job for job in older if job["state"] == WRITING]


def named(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The publications whose documents must stay: those that are visible, and those that are being written."""
    visible = [job["publication_id"] for job in jobs if job["state"] == PUBLISHED]
    return visible + [job["writing"]["publication_id"] for job in jobs if job.get("writing") and job["state"] != REMOVING]
