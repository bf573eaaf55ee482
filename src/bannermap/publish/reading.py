"""What a consumer of the published collections does, with nothing but pymongo.

A reader starts from a document of ``clustering_jobs`` with state ``published`` and reads documents with its ``publication_id``
only. What was published never changes; it can only be removed, once ``publish.keep_runs`` newer ones are there. Then documents
are missing, which a reader sees by the counts that it has, and starts again from the newest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import InputError
from bannermap.publish.documents import CLUSTER, FORMAT, PAGE, RETIRED
from bannermap.publish.publication import CLUSTERS, JOBS, NEWEST_FIRST, PUBLISHED

if TYPE_CHECKING:
    from pymongo.database import Database

    Documents = Database[dict[str, Any]]

TRIES = 5
DOCUMENTS_PER_ANSWER = 100
"""MongoDB ends an answer at 16 MB; other servers that speak its protocol may send all in one, too long to be read."""


class WithdrawnError(Exception):
    """The publication was removed while it was read: start again from `published_job`."""


@dataclass(frozen=True)
class PublishedClustering:
    """A whole clustering.

    Attributes:
        job: the document of ``clustering_jobs``.
        clusters: each cluster with all its ``members``, by cluster_id.
    """

    job: dict[str, Any]
    clusters: list[dict[str, Any]]


def read_published(database: Documents, clustering_id: str | None = None) -> PublishedClustering:
    """A whole clustering, in memory: about 1 GB for a million members. For less, go through `clusters_of` one by one.

    Args:
        database: of a pymongo client, such as ``MongoClient(uri)["bannermap"]``.
        clustering_id: which; without, the newest of the newest day.

    Raises:
        InputError: it is not published, or by a newer bannermap than this one.
        WithdrawnError: it was removed under the reader, time and again.
    """
    from pymongo import ReadPreference

    database = database.with_options(read_preference=ReadPreference.PRIMARY)  # a secondary may lag behind what counts say
    for left in reversed(range(TRIES)):
        job = published_job(database, clustering_id)
        try:
            return PublishedClustering(job, list(clusters_of(database, job)))
        except WithdrawnError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def published_job(database: Documents, clustering_id: str | None = None) -> dict[str, Any]:
    """The document that a reader starts from; arguments and errors as of `read_published`."""
    asked = {"state": PUBLISHED} | ({"_id": clustering_id} if clustering_id else {})
    job = database[JOBS].find_one(asked, sort=NEWEST_FIRST)
    if job is None:
        raise InputError(f"{clustering_id or 'No clustering'} is not published in {database.name}. Run publish_clusters first.")
    if job["format"] > FORMAT:
        raise InputError(
            f"{job['_id']} is published in format {job['format']} and this bannermap reads {FORMAT}: take the bannermap that "
            "published it."
        )
    return dict(job)


def clusters_of(database: Documents, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each cluster with all its ``members``, by cluster_id; one at a time is in memory.

    Args:
        database: see `read_published`.
        job: of `published_job`.

    Raises:
        WithdrawnError: documents are missing; clusters that came before are whole.
    """
    found = 0
    asked = {"publication_id": job["publication_id"], "kind": {"$in": [CLUSTER, PAGE]}}
    documents = database[CLUSTERS].find(asked, batch_size=DOCUMENTS_PER_ANSWER).sort([("cluster_id", 1), ("page", 1)])
    for _, pages in itertools.groupby(documents, key=lambda document: document["cluster_id"]):
        yield _whole(list(pages))
        found += 1
    if found != job["statistics"]["clusters"]:
        raise WithdrawnError(job["_id"])


def retired_clusters(database: Documents, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Clusters of the clustering before that are no more, with their ``lineage``; arguments and errors as of `clusters_of`."""
    asked = {"publication_id": job["publication_id"], "kind": RETIRED}
    found = list(database[CLUSTERS].find(asked, batch_size=DOCUMENTS_PER_ANSWER).sort("cluster_id", 1))
    if len(found) != job["statistics"]["retired_clusters"]:
        raise WithdrawnError(job["_id"])
    return found


def cluster_of(database: Documents, job: Mapping[str, Any], banner_id: str) -> str | None:
    """The cluster_id of a banner; None for one that is in no cluster, or not in the clustering.

    Args:
        database: see `read_published`.
        job: of `published_job`.
        banner_id: which; compared as a value, whatever it is.

    Raises:
        WithdrawnError: the publication is being removed, so that not finding the banner says nothing.
    """
    asked = {"publication_id": job["publication_id"], "members.banner_id": {"$eq": banner_id}}
    found = database[CLUSTERS].find_one(asked, {"cluster_id": 1})
    if found:
        return str(found["cluster_id"])
    same = {"_id": job["_id"], "publication_id": job["publication_id"], "state": PUBLISHED}
    if database[JOBS].find_one(same, {"_id": 1}) is None:
        raise WithdrawnError(job["_id"])
    return None


def _whole(pages: list[dict[str, Any]]) -> dict[str, Any]:
    first = pages[0]
    if first["kind"] != CLUSTER or len(pages) != first["pages"]:
        raise WithdrawnError(first["clustering_id"])
    return {**first, "members": [member for page in pages for member in page["members"]]}
