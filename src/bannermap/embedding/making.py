"""Images made by tasks that may be killed: each batch is staged as it ends, and what is staged is not made again."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

from bannermap import __version__
from bannermap.embedding.frames import IMAGES
from bannermap.embedding.kernel import ImageKernel
from bannermap.embedding.staging import Staging
from bannermap.platform.config import settings_json
from bannermap.platform.errors import ServiceError
from bannermap.platform.files import path_exists, remove
from bannermap.platform.image_store import stored_bytes
from bannermap.platform.runs import JobContext
from bannermap.platform.session import is_one_process
from bannermap.platform.settings import EncoderSettings

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import DataFrame, SparkSession

TASKS_PER_CORE = 2
Batches = Iterable[pa.RecordBatch]
Making = Callable[[Batches], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Workshop:
    """Where a run has its images made.

    Attributes:
        context: of the run; in a dry run nothing is staged.
        kernel: what tasks do.
    """

    context: JobContext
    kernel: ImageKernel

    def from_addresses(self, addresses: DataFrame) -> DataFrame:
        """`IMAGES` of `ADDRESSES`, one row each; cheap to read again."""
        return self._made(addresses, "image_url", self.kernel.from_addresses, lambda left: left)

    def from_contents(self, contents: DataFrame) -> DataFrame:
        """`IMAGES` of those `CONTENTS` whose bytes are there, one row each; cheap to read again.

        Args:
            contents: persisted; they are gone over several times.

        Raises:
            ServiceError: see `check_nothing_lost`.
        """
        warehouse, cache = self.context.warehouse, self.kernel.fetch.image_cache
        images = self._made(contents, "content_hash", self.kernel.from_bytes, functools.partial(stored_bytes, warehouse, cache))
        found = images.count()
        if found < contents.count():  # bytes that are gone, or spoilt, give no row of that name either
            absent = contents.join(images, "content_hash", "left_anti")
            there = stored_bytes(warehouse, cache, absent).where(F.sha2("data", 256) == F.col("content_hash")).count()
            check_nothing_lost(self.context, found + there, found, "stored pictures")
        return images

    def clear(self) -> None:
        """Remove what was staged for the day, by this run and by those that were killed before it."""
        if not self.context.warehouse.read_only:
            remove(self.context.warehouse.spark, self._day_folder)

    def _made(self, todo: DataFrame, key: str, making: Making, input_of: Callable[[DataFrame], DataFrame]) -> DataFrame:
        """Images of ``todo``, which is gone over several times; ``input_of`` it what is not staged yet, once."""
        spark, encoder = self.context.warehouse.spark, self.kernel.encoder
        if self.context.warehouse.read_only:
            return made_in_tasks(input_of(todo).repartition(tasks_of(spark), key), making, encoder).persist()
        folder = f"{self._day_folder}/{key}-{self._digest}"
        left = _not_in(todo, _staged(spark, folder), key) if path_exists(spark, folder) else todo
        task = StagedTask(making, Staging(folder), key, self.context.run.run_id[:12])
        made_in_tasks(input_of(left).repartition(tasks_of(spark), key), task, encoder, "images int").count()
        if not path_exists(spark, folder):
            return spark.createDataFrame([], IMAGES.schema)
        return _once_each(_staged(spark, folder), todo, key)

    @property
    def _day_folder(self) -> str:
        return f"{self.context.warehouse.root.rstrip('/')}/_staging/{self.context.run.job}/dt={self.context.dt}"

    @property
    def _digest(self) -> str:
        """Of all that changes what is made: batches of other settings, weights or versions are not gone on with."""
        kernel, ids = self.kernel, self.kernel.chain.encoder_ids
        parts = (__version__, kernel.root, *ids, *map(settings_json, (kernel.fetch, kernel.decode, kernel.encoder)))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class StagedTask:
    """What a task runs in mapInArrow: makes images, stages each batch, and tells only how many.

    Attributes:
        making: `ADDRESSES` or rows of `IMAGE_BYTES` to `IMAGES`.
        staging: where batches go.
        key: column by which an input is recognised.
        run: first letters of the run's id; a task's inputs are the same in all its attempts, but not in another run.
    """

    making: Making
    staging: Staging
    key: str
    run: str

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """One row per batch: the number of its images."""
        from pyspark import TaskContext

        task = TaskContext.get()
        if task is None:
            raise RuntimeError("batches are staged by tasks of Spark, whose partition names them")
        prefix, attempt = f"{self.run}-{task.partitionId():06d}-", task.taskAttemptId()
        # Not only in a second attempt: where an executor was lost, a stage begins again and counts attempts from 0.
        left = _without(batches, self.key, self.staging.values(prefix, self.key))
        for number, rows in enumerate(self.making(left)):
            self.staging.write(rows, f"{prefix}{attempt:09d}-{number:06d}")
            yield pa.RecordBatch.from_arrays([pa.array([rows.num_rows], pa.int32())], ["images"])


def check_nothing_lost(context: JobContext, due: int, found: int, what: str) -> None:
    """Whether all that was handed out to tasks came back of what they had left aside.

    Args:
        context: of the run, which has noted nothing of it as done.
        due: handed out.
        found: of them, came back.
        what: they are, in words.

    Raises:
        ServiceError: some did not.
    """
    if found != due:
        raise ServiceError(
            f"{due} {what} were due, and {found} came back of what tasks had left aside below {context.warehouse.root}: "
            "the store lost what it had taken. None is noted as done. Run the same command again, and look at the store."
        )


def made_in_tasks(frame: DataFrame, making: Making, encoder: EncoderSettings, schema: str | None = None) -> DataFrame:
    """What tasks make of a frame, each with a GPU where the settings ask for one and the master can give it.

    Args:
        frame: input, spread over tasks.
        making: runs in each.
        encoder: settings.
        schema: of what it makes; `IMAGES` without.
    """
    # In one process torch takes the GPU that it sees.
    staged = encoder.gpu_per_task and not is_one_process(frame.sparkSession)
    profile = _gpu_profile(encoder.gpu_per_task) if staged else None
    return frame.mapInArrow(making, schema or IMAGES.schema, profile=profile)


def tasks_of(spark: SparkSession) -> int:
    """Tasks that images are spread over."""
    return TASKS_PER_CORE * spark.sparkContext.defaultParallelism


def _gpu_profile(gpu_per_task: float) -> ResourceProfile:
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    return ResourceProfileBuilder().require(TaskResourceRequests().cpus(1).resource("gpu", gpu_per_task)).build


def _staged(spark: SparkSession, folder: str) -> DataFrame:
    return spark.read.schema(IMAGES.schema).parquet(folder)


def _not_in(frame: DataFrame, others: DataFrame, key: str) -> DataFrame:
    return frame.join(others.select(F.col(key).alias("other")), F.col(key).eqNullSafe(F.col("other")), "left_anti")


def _once_each(staged: DataFrame, todo: DataFrame, key: str) -> DataFrame:
    """One row per key of ``todo``, the same in each reading: a task that ran twice at once staged some twice, and what a run
    staged that was killed while it cleared up is in the tables."""
    names = staged.select(F.col(key).alias("kept"), F.col("_metadata.file_name").alias("name"))
    wanted = todo.select(F.col(key).alias("wanted")).distinct()
    asked = names.join(wanted, F.col("kept").eqNullSafe(F.col("wanted")), "left_semi")
    # Not persisted: Spark takes two listings of a folder for one plan, and would answer a later call with this one's names.
    first = asked.groupBy("kept").agg(F.min("name").alias("name"))
    if first.count() == staged.count():
        return staged
    same = F.col(key).eqNullSafe(F.col("kept")) & (F.col("_metadata.file_name") == F.col("name"))
    return IMAGES.select(staged.join(first, same))


def _without(batches: Batches, key: str, done: set[object]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        values = batch.column(batch.schema.get_field_index(key)).to_pylist()
        yield batch.filter(pa.array([value not in done for value in values], pa.bool_()))
