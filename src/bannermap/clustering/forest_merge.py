"""The maximum spanning forest on Spark, from neighbour lists of any size.

Each task makes forests of its share; forests of neighbouring tasks are merged in a tree as long as that takes something away;
what is left is cut into runs by strength, which tasks write as files and the driver reads strongest first: through Spark each run
would stay in the JVM's heap until the last was read. No task holds more edges than `Limits` says. The driver holds a number per
node, the edges that it keeps and a run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.clustering.arrow import batch_of, large_chunks
from bannermap.clustering.edge_order import places_of, strongest_first
from bannermap.clustering.forest import Edges, edges_at_least, forests, merged_runs, node_type, spanning_forest
from bannermap.clustering.frames import EDGE_PACKS, EDGE_RUNS, NEIGHBOUR_ROWS
from bannermap.platform.whole_files import system_of, write_whole

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]
Kernel = Callable[[Batches], Iterator[pa.RecordBatch]]
MERGE_WIDTH = 4
"""Forests that one task merges; a wider tree is shallower, a narrower one holds fewer edges per task."""
WORTHWHILE = 0.9
"""Share of the edges that a level of the tree may leave for another one to be tried."""
BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"


@dataclass(frozen=True)
class Limits:
    """What is held at once; the result never depends on it.

    Attributes:
        task: edges of a forest above which a task begins another one; it holds twice as many, at about 60 bytes.
        run: edges, about, that the driver takes in at once.
        pack: edges of a row on the way.
        batch: neighbour rows that Spark hands to a task at once; its batches are sized for images.
    """

    task: int = 4_000_000
    run: int = 2_000_000
    pack: int = 131_072
    batch: int = 131_072

    @property
    def stride(self) -> int:
        """Edges that stand behind one of a sample; a run then has a few thousand of them, so its length is off by percents."""
        return max(1, self.run // 4096)


def forest_of(rows: DataFrame, nodes: int, settings: ClusteringSettings, folder: str, limits: Limits | None = None) -> Edges:
    """The maximum spanning forest of the neighbour graph, strongest edge first.

    Args:
        rows: `NEIGHBOUR_ROWS`, read once. Partitions that hold lists of nodes near each other leave the least to be merged.
        nodes: n; node ids are 0 .. n - 1.
        settings: ``first_threshold``, and ``partitions``, which there are at least.
        folder: address that tasks and driver reach, of nothing else; the caller removes it.
        limits: other ones than usual.

    Returns:
        Ids of `forest.node_type`.
    """
    limits = limits or Limits()
    with _batches_of(rows.sparkSession, limits.batch), contextlib.ExitStack() as held:
        packs, sample = _merged(_partition_forests(rows, node_type(nodes), settings, limits), nodes, limits, held)
        written = _write_runs(packs, sample, nodes, folder, limits)
        return merged_runs((_read_run(folder, run) for run in written), nodes)


@contextlib.contextmanager
def _batches_of(spark: SparkSession, rows: int) -> Iterator[None]:
    former = str(spark.conf.get(BATCH_ROWS))
    spark.conf.set(BATCH_ROWS, str(rows))
    try:
        yield
    finally:
        spark.conf.set(BATCH_ROWS, former)


def _partition_forests(rows: DataFrame, kind: np.dtype, settings: ClusteringSettings, limits: Limits) -> DataFrame:
    """`EDGE_PACKS` of each partition's forests."""
    least = settings.first_threshold

    def make(batches: Batches) -> Iterator[pa.RecordBatch]:
        parts = (_neighbour_edges(b, least, kind) for b in large_chunks(batches, limits.batch))
        yield from _packed_forests(forests(parts, limits.task), limits)

    few = rows.rdd.getNumPartitions() < settings.partitions
    shared_out = rows.repartition(settings.partitions, "src") if few else rows  # without a column it would sort them first
    return NEIGHBOUR_ROWS.select(shared_out).mapInArrow(make, EDGE_PACKS.schema)


def _merged(packs: DataFrame, nodes: int, limits: Limits, held: contextlib.ExitStack) -> tuple[DataFrame, Edges]:
    """The forests when merging pays no more, on disk, and a sample of their edges, one of ``limits.stride``."""
    kind = node_type(nodes)

    def merge(batches: Batches) -> Iterator[pa.RecordBatch]:
        yield from _packed_forests(forests(_packs_of(batches, kind), limits.task), limits)

    packs, sample = _on_disk(packs, kind, limits, held)
    width = packs.rdd.getNumPartitions()
    while (edges := len(sample) * limits.stride) > limits.run:
        fewer = max(-(-width // MERGE_WIDTH), -(-edges // limits.task))
        if fewer * 4 > width * 3:
            break
        gathered, former = _neighbours_together(packs, width, fewer), packs
        packs, sample = _on_disk(gathered.mapInArrow(merge, EDGE_PACKS.schema), kind, limits, held)
        former.unpersist()
        width = fewer
        if len(sample) * limits.stride > WORTHWHILE * edges:
            break
    return packs, sample


def _neighbours_together(packs: DataFrame, width: int, fewer: int) -> DataFrame:
    """Not by `coalesce`, which goes by where partitions are stored and not by their order."""
    return packs.withColumn("run", F.floor(F.spark_partition_id() * fewer / width).cast("int")).repartitionById(fewer, "run")


def _on_disk(packs: DataFrame, kind: np.dtype, limits: Limits, held: contextlib.ExitStack) -> tuple[DataFrame, Edges]:
    """The frame made now and kept on disk until ``held`` ends, and a sample of its edges."""

    def survey(batches: Batches) -> Iterator[pa.RecordBatch]:
        for edges in _packs_of(batches, kind):
            some = edges[:: limits.stride]
            yield batch_of(NEIGHBOUR_ROWS, some.low.astype(np.int64), some.high.astype(np.int64), some.cosine)

    kept = packs.persist(StorageLevel.DISK_ONLY)
    held.callback(kept.unpersist)
    table = kept.mapInArrow(survey, NEIGHBOUR_ROWS.schema).toArrow()
    return kept, Edges(*(table[c].to_numpy() for c in NEIGHBOUR_ROWS.columns))


def _write_runs(packs: DataFrame, sample: Edges, nodes: int, folder: str, limits: Limits) -> list[int]:
    """A file for each run; their numbers, ascending. All edges of a run are stronger than those of the next."""
    bounds, kind = run_bounds(sample, -(-len(sample) * limits.stride // limits.run)), node_type(nodes)

    def cut(batches: Batches) -> Iterator[pa.RecordBatch]:
        for edges in _packs_of(batches, kind):
            places = places_of(edges.low, edges.high, edges.cosine, bounds.low, bounds.high, bounds.cosine)
            ends = np.concatenate([[0], places, [len(edges)]])
            for run in np.flatnonzero(np.diff(ends)):
                yield _pack(int(run), edges[ends[run] : ends[run + 1]])

    def order(batches: Batches) -> Iterator[pa.RecordBatch]:
        kept = list(batches)
        if parts := list(_packs_of(kept, kind)):
            run = kept[0]["run"][0].as_py()
            _write_run(folder, run, spanning_forest(Edges.joined(parts)))
            yield batch_of(EDGE_RUNS, pa.array([run], pa.int32()))

    sent = packs.mapInArrow(cut, EDGE_PACKS.schema).repartitionById(len(bounds) + 1, "run")
    written = sent.mapInArrow(order, EDGE_RUNS.schema).toArrow()
    return sorted(written["run"].to_pylist())


def _write_run(folder: str, run: int, edges: Edges) -> None:
    system, path = _run_file(folder, run)
    table = pa.table(vars(edges))
    write_whole(system, path, lambda stream: _write_ipc(stream, table))


def _write_ipc(stream: Any, table: pa.Table) -> None:
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)


def _read_run(folder: str, run: int) -> Edges:
    system, path = _run_file(folder, run)
    with system.open_input_file(path) as stream:
        rows = pa.ipc.open_file(stream).read_all()
    return Edges(*(rows[c].to_numpy() for c in ("low", "high", "cosine")))


def _run_file(folder: str, run: int) -> tuple[Any, str]:
    system, path = system_of(folder)
    return system, f"{path}/run-{run:08d}.arrow"


def run_bounds(sample: Edges, runs: int) -> Edges:
    """First edges of all runs but the first, strongest first.

    Args:
        sample: any order.
        runs: of about equal length; fewer where the sample has fewer edges.
    """
    order = strongest_first(sample.low, sample.high, sample.cosine)
    firsts = np.unique(np.arange(1, runs) * len(order) // max(1, runs))
    return sample[order[firsts]]


def _packed_forests(made: Iterable[Edges], limits: Limits) -> Iterator[pa.RecordBatch]:
    for forest in made:
        for low in range(0, len(forest), limits.pack):
            yield _pack(0, forest[low : low + limits.pack])


def _pack(run: int, edges: Edges) -> pa.RecordBatch:
    columns = [pa.array([c.tobytes()], pa.binary()) for c in (edges.low, edges.high, edges.cosine)]
    return batch_of(EDGE_PACKS, pa.array([run], pa.int32()), *columns)


def _packs_of(batches: Batches, kind: np.dtype) -> Iterator[Edges]:
    for batch in batches:
        for row in zip(*(batch[c] for c in ("low", "high", "cosine")), strict=True):
            yield _unpacked(kind, *(value.as_buffer() for value in row))


def _unpacked(kind: np.dtype, low: bytes | pa.Buffer, high: bytes | pa.Buffer, cosine: bytes | pa.Buffer) -> Edges:
    return Edges(np.frombuffer(low, kind), np.frombuffer(high, kind), np.frombuffer(cosine, np.float32))


def _neighbour_edges(rows: pa.Table, min_cosine: float, kind: np.dtype) -> Edges:
    src, dst, cosine = (rows[c].to_numpy() for c in NEIGHBOUR_ROWS.columns)
    return edges_at_least(src.astype(kind), dst.astype(kind), cosine, min_cosine)
