"""Rows of `user_erasures`: begun before anything is removed, so that nobody comes back meanwhile, and completed at the end."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.platform.pseudonyms import erased_digest
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import USER_ERASURES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

SALT_BYTES = 16


@dataclass(frozen=True)
class Proof:
    """One erased user of one erasure; attributes as the columns of `USER_ERASURES`, lists of structs as mappings by table."""

    erasure_id: str
    user_digest: str
    dt: datetime.date
    rows_removed: Mapping[str, int]
    before: Mapping[str, int]
    after: Mapping[str, int] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True)
class Digests:
    """How users are remembered in this warehouse: by salted digests.

    Attributes:
        salt: of the warehouse.
        by_user: user id as tables hold it -> digest.
    """

    salt: str
    by_user: Mapping[str, str]


def digests_of(context: JobContext, users: Iterable[str]) -> Digests:
    """The digests of some users; the first erasure of a warehouse draws its salt."""
    known = context.warehouse.read_or_empty(USER_ERASURES).orderBy("dt", "erasure_id").select("salt").head(1)
    salt = known[0]["salt"] if known else secrets.token_hex(SALT_BYTES)
    return Digests(salt, {u: erased_digest(salt, u) for u in users})


def needed_proofs(
    context: JobContext, digests: Digests, found: Mapping[str, Mapping[str, int]], versions: Mapping[str, int]
) -> list[Proof]:
    """The proofs that a run has to work on.

    A user who was erased before and of whom nothing is found needs none. An erasure that was cut off is taken up: it removed part
    of the rows, so what it had found counts.

    Args:
        context: of the run.
        digests: of the requested users.
        found: user id as tables hold it -> table -> rows.
        versions: table -> Delta version as the run found it.
    """
    mine = F.broadcast(_frame_of_digests(context, digests))
    stored = context.warehouse.read_or_empty(USER_ERASURES).join(mine, "user_digest", "left_semi").collect()
    complete = {r["user_digest"] for r in stored if r["complete"]}
    open_rows = {r["user_digest"]: r for r in stored if not r["complete"]}
    proofs = []
    for user, digest in digests.by_user.items():
        rows = found.get(user, {})
        if digest in open_rows:
            proofs.append(_taken_up(open_rows[digest], rows))
        elif rows or digest not in complete:
            proofs.append(Proof(context.run.run_id, digest, context.dt, rows, versions))
    return proofs


def _taken_up(stored: Row, found: Mapping[str, int]) -> Proof:
    before = {s["table"]: s["before"] for s in stored["versions"]}
    removed = {s["table"]: s["rows"] for s in stored["rows_removed"]}
    rows = {t: max(removed.get(t, 0), found.get(t, 0)) for t in (*removed, *found)}
    return Proof(stored["erasure_id"], stored["user_digest"], stored["dt"], rows, before)


def write_proofs(context: JobContext, proofs: Sequence[Proof], salt: str, key_id: str | None) -> None:
    """Store proofs; those of the same erasure and user are replaced."""
    rows = [_row(proof, salt, key_id) for proof in proofs]
    context.warehouse.merge(USER_ERASURES, context.warehouse.spark.createDataFrame(rows, USER_ERASURES.schema))


def completed(proofs: Iterable[Proof], versions: Mapping[str, int]) -> list[Proof]:
    """The proofs of a run that came to its end at these versions."""
    return [replace(proof, after=versions, complete=True) for proof in proofs]


def mark_purged(context: JobContext) -> None:
    """Note that no older version is left: of any complete erasure."""
    known = context.warehouse.read_or_empty(USER_ERASURES)
    context.warehouse.merge(USER_ERASURES, known.where("complete").withColumn("purged", F.lit(True)))


def _row(proof: Proof, salt: str, key_id: str | None) -> tuple:
    rows = sorted(proof.rows_removed.items())
    versions = [(t, v, proof.after.get(t)) for t, v in sorted(proof.before.items())]
    head = (proof.erasure_id, proof.user_digest, salt, key_id, proof.dt)
    return (*head, rows, versions, proof.complete, False)


def _frame_of_digests(context: JobContext, digests: Digests) -> DataFrame:
    rows = [(d,) for d in digests.by_user.values()]
    return context.warehouse.spark.createDataFrame(rows, "user_digest string")
