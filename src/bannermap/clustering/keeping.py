"""What earlier days found, and what of it still holds today: only what is new is searched again.

A stored list holds as long as its own picture has the same vector and every picture in it is still clustered: what else came or
went cannot have been in it. A list that names a picture that is gone is made anew.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.clustering.arrow import list_array, matrix_of
from bannermap.clustering.frames import NEIGHBOUR_ROWS
from bannermap.clustering.search import Cells, Found, Kept, rows_of
from bannermap.clustering.standing import GONE, NEW, ListEnds, Standing, standing_of
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import CELLS, NEIGHBOURS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

GROWN = 2
"""Exhaustive search chosen by ``auto`` is given up before the next rebuild where there are this many times exact_max_rows."""

SEARCH_SETTINGS = ("search", "exact_max_rows", "k_neighbors", "cells")
"""Where one of these changes, a rebuild is due."""


@dataclass(frozen=True)
class InForce:
    """Cells that an earlier day learned.

    Attributes:
        cells: how is searched.
        dt: the day that learned them: of the last rebuild.
    """

    cells: Cells
    dt: datetime.date


def cells_in_force(context: JobContext, encoder_id: str, pictures: DataFrame) -> InForce | None:
    """The newest cells of an earlier day that follow from today's settings; none where a rebuild is due, or was never made.

    Args:
        context: of the run.
        encoder_id: whose vectors.
        pictures: with pixel_hash, those that a rebuild on this day would cluster.
    """
    settings, day = context.settings.clustering, context.dt
    own = (F.col("encoder_id") == encoder_id) & (F.col("search") == _search_json(settings))
    stored = context.warehouse.read_or_empty(CELLS).where(own & (F.col("dt") < F.lit(day)))
    since = stored.agg(F.max("dt")).collect()[0][0]
    if since is None or (day - since).days >= settings.rebuild_every_days:
        return None
    table = stored.where(F.col("dt") == F.lit(since)).orderBy("cell").toArrow()
    exact, cells_id = table["centroid"].null_count > 0, str(table["cells_id"][0])
    if exact and settings.search == "auto" and _pixels(pictures) > GROWN * settings.exact_max_rows:
        return None
    return InForce(Cells(cells_id, None if exact else matrix_of(table["centroid"])), since)


def _pixels(pictures: DataFrame) -> int:
    return pictures.select("pixel_hash").distinct().count()


def write_cells(context: JobContext, encoder_id: str, cells: Cells, in_force: InForce | None) -> None:
    """Leave the cells that this day learned; a day that learned none has none, whatever an earlier run of it left."""
    own = (F.col("encoder_id") == encoder_id) & (F.col("dt") == F.lit(context.dt))
    if in_force and context.warehouse.read_or_empty(CELLS).where(own).isEmpty():
        return
    facts = {"encoder_id": encoder_id, "dt": context.dt, "cells_id": cells.cells_id}
    facts["search"] = _search_json(context.settings.clustering)
    frame = _centroids(context, cells).where(F.lit(in_force is None)).withColumns({c: F.lit(v) for c, v in facts.items()})
    context.warehouse.overwrite_partition(CELLS, frame, encoder_id=encoder_id, dt=context.dt)


def _centroids(context: JobContext, cells: Cells) -> DataFrame:
    spark, columns = context.warehouse.spark, "cell int, centroid array<float>"
    if cells.centroids is None:
        return spark.createDataFrame([(0, None)], columns)
    numbers = pa.array(np.arange(len(cells.centroids), dtype=np.int32))
    return spark.createDataFrame(pa.table({"cell": numbers, "centroid": list_array(cells.centroids)}), columns)


def later_lists_fell(context: JobContext, changes: DataFrame, cells_id: str, encoder_id: str) -> bool:
    """Whether lists of later days are stored that were made on top of another state of this day: then they are no longer true,
    and what they would have kept is searched again by the days to come.

    Args:
        context: of the run.
        changes: of `neighbour_changes`, the day's.
        cells_id: see `NEIGHBOURS`.
        encoder_id: see `NEIGHBOURS`.
    """
    same = _all_lists(context, cells_id, encoder_id)
    if same.where(F.col("dt") > F.lit(context.dt)).isEmpty():
        return False
    facts = F.struct(F.lit(True).alias("there"), "neighbours", "cells", "vector_hash")
    before = same.where(F.col("dt") == F.lit(context.dt)).select("src", facts.alias("before"))
    both = changes.select("src", facts.alias("now")).join(before, "src", "full")
    return not both.where(~F.col("now").eqNullSafe(F.col("before"))).isEmpty()


def _all_lists(context: JobContext, cells_id: str, encoder_id: str) -> DataFrame:
    stored = context.warehouse.read_or_empty(NEIGHBOURS)
    return stored.where((F.col("cells_id") == cells_id) & (F.col("encoder_id") == encoder_id))


def stored_lists(context: JobContext, cells_id: str, encoder_id: str) -> DataFrame:
    """The lists as the day before left them: src, neighbours, cells, vector_hash; pictures that are gone are absent."""
    earlier = _all_lists(context, cells_id, encoder_id).where(F.col("dt") < F.lit(context.dt))
    newest = (
        earlier.groupBy("src").agg(F.max_by(F.struct("neighbours", "cells", "vector_hash"), "dt").alias("l")).select("src", "l.*")
    )
    return newest.where("neighbours IS NOT NULL AND vector_hash IS NOT NULL")


def with_kept_cells(rows: DataFrame, lists: DataFrame) -> DataFrame:
    """Rows of pictures with ``cells``: null where no list of the same vector is stored.

    Args:
        rows: node_id, vector, and whatever else.
        lists: of `stored_lists`.
    """
    known = lists.select(
        F.col("src").alias("node_id"), F.col("vector_hash").alias("known_hash"), F.col("cells").alias("known_cells")
    )
    joined = rows.join(known, "node_id", "left")
    same = F.col("known_hash") == F.xxhash64("vector")
    return joined.withColumn("cells", F.when(same, F.col("known_cells"))).drop("known_hash", "known_cells")


def kept_search(cells: Cells, lists: DataFrame, nodes: DataFrame, settings: ClusteringSettings) -> Kept:
    """The stored lists by today's numbers, and what follows from them.

    Args:
        cells: in force.
        lists: of `stored_lists`.
        nodes: `NODES`, persisted.
        settings: ``k_neighbors``.
    """
    known = nodes.where("cells IS NOT NULL").select("node", "node_id")
    own = known.select(F.col("node").alias("src_node"), F.col("node_id").alias("src"))
    other = known.select(F.col("node").alias("dst_node"), F.col("node_id").alias("dst"))
    flat = lists.join(own, "src").select("src_node", F.inline("neighbours")).join(other, "dst", "left")
    named = {"src": F.col("src_node"), "dst": F.coalesce("dst_node", F.lit(GONE).cast("bigint"))}
    rows = flat.select("src_node", "dst_node", "cosine").withColumns(named).select(*NEIGHBOUR_ROWS.columns).persist()
    return Kept(cells, rows, _standing(rows, nodes, settings.k_neighbors))


def _standing(rows: DataFrame, nodes: DataFrame, k: int) -> Standing:
    new = nodes.select("node", F.col("cells").isNull().alias("is_new")).orderBy("node").toArrow()
    last = F.max(F.struct((-F.col("cosine")).alias("order"), "dst")).alias("last")
    ends = rows.groupBy("src").agg(F.count("*").alias("entries"), last, F.min("dst").alias("least"))
    table = ends.select(
        "src", "entries", (-F.col("last.order")).alias("cosine"), F.col("last.dst").alias("dst"), "least"
    ).toArrow()
    return standing_of(new["is_new"].to_numpy(), ListEnds(*(c.to_numpy() for c in table.columns)), k)


def neighbour_changes(found: Found, nodes: DataFrame, lists: DataFrame) -> DataFrame:
    """The lists that are to be stored for the day: src, neighbours, cells, vector_hash; neighbours null for what is gone.

    Args:
        found: today's search.
        nodes: `NODES`, persisted.
        lists: as the day before left them under the same cells_id, see `stored_lists`.
    """
    touched = _touched(found)
    searched = rows_of(nodes.select("node", "node_id", "vector"), touched).join(found.asked, "node")
    own = searched.select(F.col("node_id").alias("src"), "cells", F.xxhash64("vector").alias("vector_hash"))
    named = _named(rows_of(found.rows, touched), nodes)
    empty = F.array().cast(NEIGHBOURS.type_of("neighbours"))
    today = own.join(named, "src", "left").withColumn("neighbours", F.coalesce("neighbours", empty))
    facts = ("neighbours", "cells", "vector_hash")
    before = lists.select("src", F.struct(*facts).alias("before"))
    differs = ~F.col("before").eqNullSafe(F.struct(*facts))
    changed = today.join(before, "src", "left").where(differs).select("src", *facts)
    gone = lists.select("src").join(nodes.select(F.col("node_id").alias("src")), "src", "left_anti")
    return changed.unionByName(gone.withColumns({c: F.lit(None).cast(NEIGHBOURS.type_of(c)) for c in facts}))


def _touched(found: Found) -> np.ndarray:
    """bool (n,): nodes whose list may differ from the stored one: those that asked, and those that took a new one in."""
    touched = found.standing.asks.copy()
    if found.standing.keeps_any:
        shared = found.rows.sparkSession.sparkContext.broadcast(found.standing)

        def keep(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                src, dst = (batch.column(i).to_numpy() for i in (0, 1))
                kind = shared.value.kind
                took = np.unique(src[kind[dst] == NEW])
                yield pa.RecordBatch.from_arrays([pa.array(took)], ["src"])

        took = found.rows.mapInArrow(keep, "src bigint").distinct().toArrow()["src"].to_numpy()
        touched[took] = True
    return touched


def _named(rows: DataFrame, nodes: DataFrame) -> DataFrame:
    """Flat lists of node numbers as one list of names per picture: src, neighbours."""
    names = nodes.select("node", "node_id")
    src = names.select(F.col("node").alias("src"), F.col("node_id").alias("src_id"))
    dst = names.select(F.col("node").alias("dst"), F.col("node_id").alias("dst_id"))
    entry = F.struct((-F.col("cosine")).alias("order"), F.col("dst_id").alias("dst"), "cosine")
    named = rows.join(src, "src").join(dst, "dst").groupBy("src_id").agg(F.array_sort(F.collect_list(entry)).alias("entries"))
    cut = F.transform("entries", lambda e: F.struct(e["dst"].alias("dst"), e["cosine"].alias("cosine")))
    return named.select(F.col("src_id").alias("src"), cut.alias("neighbours"))


def _search_json(settings: ClusteringSettings) -> str:
    return json.dumps(settings.model_dump(mode="json", include=set(SEARCH_SETTINGS)), sort_keys=True)
