"""Rows to documents: the layout that consumers read, see docs/publishing.md.

A cluster is one document with its first members, and further ones with the rest. What stands in a document follows from the
clustering alone; the publication that it belongs to is in ``_id`` and ``publication_id``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

FORMAT = 1
"""Goes up with every change of the layout that a reader of the older one would misread."""
CLUSTER, PAGE, RETIRED = "cluster", "page", "retired"
PAGE_BYTES = 8_000_000
"""Of a page's members, estimated from their ids: half of the 16 MB that MongoDB allows a document."""
MEMBER_BYTES = 200
"""Of a member beside its ids: names of fields, the similarity, and BSON's own."""


def members_per_page(wanted: int, longest_ids_bytes: int) -> int:
    """How many members a document takes, so that it stays far below MongoDB's limit whatever their ids are.

    Args:
        wanted: ``publish.members_per_page``.
        longest_ids_bytes: UTF-8 bytes of the longest ids of a member together.

    Returns:
        0 where not even one member would fit.
    """
    return min(wanted, PAGE_BYTES // (longest_ids_bytes + MEMBER_BYTES))


def documents(rows: Iterable[Mapping[str, Any]], stamp: Mapping[str, str]) -> Iterator[tuple[RawBSONDocument, int]]:
    """Documents and how many members each has.

    Args:
        rows: of `frames.ENTRIES`, those of a page together, page by page of a cluster, the cluster's own row first.
        stamp: ``publication_id``, ``clustering_id`` and ``dt``, which every document has.
    """
    for (cluster_id, page), group in itertools.groupby(rows, key=lambda row: (row["cluster_id"], row["page"])):
        first = next(group)
        header = json.loads(first["header"]) if first["header"] else None
        members = [member(row) for row in (group if header else itertools.chain([first], group))]
        kind = header.pop("kind") if header else PAGE
        name = {"_id": document_id(stamp["publication_id"], cluster_id, page), **stamp, "kind": kind}
        whole = {**name, "cluster_id": cluster_id, "page": page, **(header or {})}
        yield RawBSONDocument(bson.encode(whole if kind == RETIRED else {**whole, "members": members})), len(members)


def document_id(publication_id: str, cluster_id: str, page: int) -> str:
    """The ``_id``: writing a document twice leaves one."""
    return f"{publication_id}/{cluster_id}/{page:06d}"


def member(row: Mapping[str, Any]) -> dict[str, Any]:
    """A member as documents hold it; what is false or absent is left out, since there may be millions."""
    found = {"banner_id": row["banner_id"], "pixel_hash": row["pixel_hash"], "similarity_to_medoid": row["similarity_to_medoid"]}
    if row["duplicate_set_id"] is not None:
        found["duplicate_set_id"] = row["duplicate_set_id"]
    return {**found, "is_retired": True} if row["is_retired"] else found


def batches(
    made: Iterable[tuple[RawBSONDocument, int]], most: int, most_bytes: int
) -> Iterator[list[tuple[RawBSONDocument, int]]]:
    """Documents in lists of at most ``most``, ended when they reach ``most_bytes``: a task holds one list."""
    batch: list[tuple[RawBSONDocument, int]] = []
    size = 0
    for document in made:
        batch.append(document)
        size += len(document[0].raw)
        if len(batch) == most or size >= most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def plain_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same mapping with names that MongoDB can ask for: ``.`` would mean a level and ``$`` an operator."""
    return {name.replace(".", "_").replace("$", "_"): value for name, value in sorted(values.items())}
