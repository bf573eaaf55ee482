"""Small files and folders on any file system that Spark knows."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bannermap.platform.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


PIECE_BYTES = 1 << 22
"""Of a file, that go to the JVM at once: each is copied several times on the way."""
CONDITIONAL = "fs.option.create.conditional.overwrite"
"""Hadoop's option of a file that appears when it is closed, and only where there is none."""


def path_exists(spark: SparkSession, path: str) -> bool:
    """Whether a file or folder is there."""
    place, file_system = hadoop_path(spark, path)
    return bool(file_system.exists(place))


def qualified(spark: SparkSession, path: str) -> str:
    """The path with its scheme: without one, Spark may mean the cluster's file system and others mean this machine's disk."""
    place, file_system = hadoop_path(spark, path)
    return str(place.makeQualified(file_system.getUri(), file_system.getWorkingDirectory()).toString())


def modified_ms(spark: SparkSession, path: str) -> dict[str, int]:
    """What a folder holds: name -> milliseconds since 1970 of its last change; nothing where there is no folder.

    Object stores have no times of folders: they give 0 or the time of the question, so ask for files there.
    """
    place, file_system = hadoop_path(spark, path)
    if not file_system.exists(place):
        return {}
    return {str(s.getPath().getName()): int(s.getModificationTime()) for s in file_system.listStatus(place)}


def last_match(spark: SparkSession, folder: str, names: str) -> str | None:
    """The last name, in order, of a folder's files that match a glob; None where none does.

    Args:
        spark: the session.
        folder: taken literally.
        names: Hadoop's glob.
    """
    literal = re.sub(r"([\\*?\[\]{}])", r"\\\1", folder)
    pattern, file_system = hadoop_path(spark, f"{literal}/{names}")
    found = file_system.globStatus(pattern)  # sorted by name
    return str(found[len(found) - 1].getPath().getName()) if found else None


def matches(spark: SparkSession, folder: str, names: str) -> list[str]:
    """Paths of a folder's entries that match a glob, in order, as they are on their file system.

    Args:
        spark: the session.
        folder: taken literally.
        names: Hadoop's glob, of one or more levels.
    """
    literal = re.sub(r"([\\*?\[\]{}])", r"\\\1", folder)
    pattern, file_system = hadoop_path(spark, f"{literal}/{names}")
    found = file_system.globStatus(pattern)
    return [str(found[n].getPath().toString()) for n in range(len(found))] if found else []


def rename(spark: SparkSession, source: str, target: str) -> None:
    """Put a file or folder in another place, which must be free."""
    from_path, file_system = hadoop_path(spark, source)
    to_path, _ = hadoop_path(spark, target)
    file_system.mkdirs(to_path.getParent())
    if not file_system.rename(from_path, to_path):
        raise InputError(f"{source} could not be renamed to {target}. Is it writable, and does no other run write it?")


def read_text(spark: SparkSession, path: str) -> str | None:
    """The text of a small file, or None where there is none."""
    content = read_bytes(spark, path)
    return None if content is None else content.decode("utf-8", "replace")


def write_text(spark: SparkSession, path: str, text: str) -> None:
    """Write or replace a small file. On a local disk readers see the old text or the new one; elsewhere the file may be cut off
    for a moment, or for good where the writer is killed: readers must bear that."""
    place, file_system = hadoop_path(spark, path)
    if file_system.getScheme() == "file":  # Hadoop empties the file first, and readers compare it with sums of its other text
        with _aside(spark, place, file_system, text) as (whole, here):
            here.with_name(f".{here.name}.crc").unlink(missing_ok=True)  # Hadoop's sums, of a text that it wrote
            whole.replace(here)
    else:
        write_bytes(spark, path, text.encode())


def read_bytes(spark: SparkSession, path: str) -> bytes | None:
    """The content of a file of some megabytes, or None where there is none."""
    place, file_system = hadoop_path(spark, path)
    try:
        return _content(spark, file_system, place)
    except Exception:  # py4j's, of many kinds; asked first, it could be there and be removed by another run before it is opened
        if file_system.exists(place):
            raise
        return None


def _content(spark: SparkSession, file_system: Any, place: Any) -> bytes:
    jvm: Any = spark.sparkContext._jvm
    stream = file_system.open(place)
    try:
        return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
    finally:
        stream.close()


def write_bytes(spark: SparkSession, path: str, content: bytes) -> None:
    """Write or replace a file of some megabytes, in pieces. Killed while writing, it may be cut off."""
    place, file_system = hadoop_path(spark, path)
    stream = file_system.create(place, True)
    try:
        for low in range(0, len(content), PIECE_BYTES):
            stream.write(bytearray(content[low : low + PIECE_BYTES]))
    finally:
        stream.close()


def create_new(spark: SparkSession, path: str, text: str) -> bool:
    """Write a small file that must not be there yet; of several that try at once, on any machines, one succeeds.

    An object store must know conditions on writes (`If-None-Match`).

    Args:
        spark: the session.
        path: where.
        text: different for each that tries, since an answer that got lost is made good by looking who wrote it.

    Returns:
        Whether this call wrote it.
    """
    place, file_system = hadoop_path(spark, path)
    if file_system.getScheme() == "file":  # Hadoop looks first and then writes
        with _aside(spark, place, file_system, text) as (whole, here):
            return _linked(whole, here)
    try:
        if file_system.getScheme() == "s3a":
            stream = file_system.createFile(place).overwrite(True).recursive().must(CONDITIONAL, True).build()
        else:
            stream = file_system.create(place, False)
        stream.write(bytearray(text.encode()))
        stream.close()
    except Exception:  # py4j's, of many kinds: it is there, or the store is away; then the next line raises
        found = read_text(spark, path)
        if found is None:
            raise
        return found == text
    return True


def _linked(whole: Path, here: Path) -> bool:
    try:
        os.link(whole, here)  # with its content or not at all
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def _aside(spark: SparkSession, place: Any, file_system: Any, text: str) -> Iterator[tuple[Path, Path]]:
    """A text in a file beside its place on the local disk, and that place. Who may read them is Hadoop's say, as of all else in a
    warehouse: the process's own mask could shut out those who read its tables."""
    file_system.mkdirs(place.getParent())
    here = Path(str(place.toUri().getPath()))
    aside = here.with_name(f".{here.name}.{uuid4().hex}")
    try:
        aside.write_bytes(text.encode())
        aside.chmod(_file_mode(spark))
        yield aside, here
    finally:
        aside.unlink(missing_ok=True)


def _file_mode(spark: SparkSession) -> int:
    jvm: Any = spark.sparkContext._jvm
    permission = jvm.org.apache.hadoop.fs.permission.FsPermission
    mask = permission.getUMask(spark.sparkContext._jsc.hadoopConfiguration())
    return int(permission.getFileDefault().applyUMask(mask).toShort())


def remove(spark: SparkSession, path: str) -> None:
    """Remove a file or folder; nothing happens where there is none."""
    place, file_system = hadoop_path(spark, path)
    file_system.delete(place, True)


def place_folder(spark: SparkSession, staging: str, path: str, frame: DataFrame) -> None:
    """Put Parquet that was written aside in place of ``path``: a reader sees old or new files, never some of each.

    Killed between the two steps, the folder is absent until the job runs again; it is never half written.

    Args:
        spark: the session.
        staging: what was written; a partition without a row has no folder, and an empty file says what columns there would be.
        path: the place.
        frame: has those columns.
    """
    if not path_exists(spark, staging):
        frame.limit(0).write.parquet(staging)
    remove(spark, path)
    rename(spark, staging, path)


def hadoop_path(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """A path and its file system, as Hadoop's classes."""
    jvm: Any = spark.sparkContext._jvm
    found = jvm.org.apache.hadoop.fs.Path(path)
    return found, found.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
