"""User ids on their way in: pseudonyms under one key for the whole warehouse, and rows of erased users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.platform.errors import InputError
from bannermap.platform.pseudonyms import UserKey, pseudonymiser
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import EVENT_LOG_DAYS, USER_ERASURES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ERASED = "erased_user"
"""The reason under which rows of erased users are counted; they are stored nowhere."""


def pseudonymised(checked: DataFrame, key: UserKey | None) -> DataFrame:
    """Checked events with pseudonyms in place of user ids; without a key, as they are.

    Before a row leaves the task that read it: whatever is cached, checkpointed, shuffled, stored or said has pseudonyms only.
    After the checks, which need to know only whether there is a user: a step that reads no users then hashes none.
    """
    if key is None:
        return checked
    hashed = F.arrow_udf(pseudonymiser(key), "string")(F.col("user_id").cast("binary"))  # type: ignore[call-overload]
    return checked.withColumn("user_id", hashed)


def check_one_key(context: JobContext, key: UserKey | None) -> None:
    """Refuse to mix user ids of two keys, or pseudonyms and user ids, in one warehouse.

    Raises:
        InputError: a log day or an erasure has another key id than this run.
    """
    mine = key.key_id if key else None
    for table in (EVENT_LOG_DAYS, USER_ERASURES):
        stored = context.warehouse.read_or_empty(table).where(~F.col("key_id").eqNullSafe(F.lit(mine).cast("string")))
        others = stored.select("dt", "key_id").orderBy("dt").head(1)
        if others:
            raise InputError(
                f"{table.name} of {others[0]['dt']} has {_named(others[0]['key_id'])}, and this run has {_named(mine)}: one user "
                "would count as two. Nothing was changed. Go back to the former features.pseudonymise_users and key; or, to "
                "change them, take the kept log days in again into a new warehouse (paths.warehouse), and erased users with them."
            )


def _named(key_id: str | None) -> str:
    return f"pseudonyms of key {key_id}" if key_id else "user ids without pseudonyms"


def marked_erased(checked: DataFrame, erasures: DataFrame) -> DataFrame:
    """Checked events with ``erased``: whether their user was erased.

    Args:
        checked: events with ``user_id`` as tables hold it.
        erasures: rows of `USER_ERASURES`, whether complete or not: an erased user must not come back while the work goes on.
    """
    known = erasures.select("salt", "user_digest").distinct()
    salts = [r["salt"] for r in known.select("salt").distinct().collect()]
    marked = checked.withColumn("erased", F.lit(False))
    for salt in salts:  # one, unless two first erasures ran at once
        digests = known.where(F.col("salt") == salt).select("user_digest", F.lit(True).alias("known"))
        digest = F.sha2(F.concat(F.lit(salt), F.col("user_id")), 256)
        joined = marked.withColumn("user_digest", digest).join(F.broadcast(digests), "user_digest", "left")
        marked = joined.withColumn("erased", F.col("erased") | F.coalesce("known", F.lit(False))).drop("user_digest", "known")
    return marked
