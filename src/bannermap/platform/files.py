"""Small files and folders on any file system that Spark knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def path_exists(spark: SparkSession, path: str) -> bool:
    """Whether a file or folder is there."""
    hadoop_path, file_system = _hadoop(spark, path)
    return bool(file_system.exists(hadoop_path))


def modified_ms(spark: SparkSession, path: str) -> dict[str, int]:
    """What a folder holds: name -> milliseconds since 1970 of its last change; nothing where there is no folder.

    Object stores have no times of folders: they give 0 or the time of the question, so ask for files there.
    """
    hadoop_path, file_system = _hadoop(spark, path)
    if not file_system.exists(hadoop_path):
        return {}
    return {str(s.getPath().getName()): int(s.getModificationTime()) for s in file_system.listStatus(hadoop_path)}


def read_text(spark: SparkSession, path: str) -> str | None:
    """The text of a small file, or None where there is none."""
    hadoop_path, file_system = _hadoop(spark, path)
    if not file_system.exists(hadoop_path):
        return None
    jvm: Any = spark.sparkContext._jvm
    stream = file_system.open(hadoop_path)
    try:
        return str(jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
    finally:
        stream.close()


def write_text(spark: SparkSession, path: str, text: str) -> None:
    """Write or replace a small file. Killed while writing, the file may be cut off: readers must bear that."""
    hadoop_path, file_system = _hadoop(spark, path)
    stream = file_system.create(hadoop_path, True)
    try:
        stream.write(bytearray(text.encode()))
    finally:
        stream.close()


def remove(spark: SparkSession, path: str) -> None:
    """Remove a file or folder; nothing happens where there is none."""
    hadoop_path, file_system = _hadoop(spark, path)
    file_system.delete(hadoop_path, True)


def replace_folder(spark: SparkSession, frame: DataFrame, path: str, staging: str) -> None:
    """Write Parquet aside, then put it in place of ``path``: a reader sees old or new files, never some of each.

    Killed between the two renames, the folder is absent until the job runs again; it is never half written.
    """
    frame.write.mode("overwrite").parquet(staging)
    target, file_system = _hadoop(spark, path)
    file_system.delete(target, True)
    file_system.mkdirs(target.getParent())
    source, _ = _hadoop(spark, staging)
    if not file_system.rename(source, target):
        raise InputError(f"{staging} could not be renamed to {path}. Is it writable, and does no other run write it?")


def _hadoop(spark: SparkSession, path: str) -> tuple[Any, Any]:
    jvm: Any = spark.sparkContext._jvm
    hadoop_path = jvm.org.apache.hadoop.fs.Path(path)
    return hadoop_path, hadoop_path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
