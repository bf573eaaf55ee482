"""`assign_banners --model`: a day's banners by a saved model, which stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.lab.arrow_vectors import lists_of, vectors_of
from bannermap.lab.model_themes import cluster_slots, slots_of_pictures, theme_prefix
from bannermap.lab.models import Model, SavedModel, Sizes
from bannermap.lab.sampling import SeenPictures
from bannermap.lab.separation import unit_rows
from bannermap.lab.training import load
from bannermap.platform.cli import Stage
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.tables import BANNER_ASSIGNMENTS, BANNER_DAYS, EMBEDDINGS
from bannermap.platform.vectors import pictures_held, vector_faults

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MODEL, NO_VECTOR = "model", "no_vector"
SAID = {"dt", "clustering_id", "banner_id", "pixel_hash", "cluster_id", "reason", "themes"}
"""Columns of an assignment that a model knows; the others tell of a clustering's members."""
PREDICTED = "node_id string, label bigint, theme_slots array<int>"
PHASES = ("read the model", "find pictures and vectors", "predict", "write assignments")


def stage(folder: str, seen: SeenPictures) -> Stage:
    """The stage for one model.

    Args:
        folder: of the model.
        seen: the pictures of a day.
    """

    def run(context: JobContext) -> None:
        with context.phase(PHASES[0]):
            saved = load(context.warehouse.spark, folder)
            check_day(saved, context)
            say(f"{context.title}: by {saved.model_id}, {saved.strategy} on vectors of {saved.encoder_id}")
        with context.phase(PHASES[1]):
            banners = _banners(context, seen, saved).persist()
            nodes = _nodes(context, seen, saved, banners).persist()
            _check_any(context, saved, nodes)
        with context.phase(PHASES[2]):
            rows = BANNER_ASSIGNMENTS.select(_rows(context, saved, banners, nodes)).persist()
            counted = rows.groupBy("reason").agg(F.count("*").alias("rows"), F.count("cluster_id").alias("inside")).collect()
        with context.phase(PHASES[3]):
            key: dict[str, Any] = {"dt": context.dt, "clustering_id": saved.model_id}
            context.warehouse.overwrite_partition(BANNER_ASSIGNMENTS, rows, **key)
        context.run.rows_in = context.run.rows_out = sum(r["rows"] for r in counted)
        for r in counted:
            context.run.metrics |= {f"banners_{r['reason']}": float(r["rows"]), f"in_a_cluster_{r['reason']}": float(r["inside"])}
        for frame in (rows, nodes, banners):
            frame.unpersist()

    return Stage("assign_banners", run, PHASES)


def predicted(vectors: DataFrame, saved: SavedModel) -> DataFrame:
    """`PREDICTED`: the label of each picture, null for none, and its themes' slots, see `slots_of_pictures`.

    Args:
        vectors: node_id, width, height, vector; each vector of the model's encoder.
        saved: the model; it goes to every task once.
    """
    shared = vectors.sparkSession.sparkContext.broadcast((saved, cluster_slots(saved)))
    return vectors.select("node_id", "width", "height", "vector").mapInArrow(_kernel(shared), PREDICTED)


def _kernel(shared: Any) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def predict(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        saved, known = shared.value
        for batch in batches:
            if batch.num_rows:
                found, labels = labelled(batch, saved.model)
                slots = lists_of(slots_of_pictures(saved, known, labels, found).astype(np.int32))
                columns = [batch.column("node_id"), pa.array(labels, mask=labels < 0), slots]
                yield pa.RecordBatch.from_arrays(columns, ["node_id", "label", "theme_slots"])

    return predict


def labelled(batch: pa.RecordBatch, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, float32 (n, d), and labels, int64 (n,), -1 for none, of a batch with width, height and vector."""
    width, height = (np.nan_to_num(batch.column(c).to_pandas().to_numpy(float)) for c in ("width", "height"))
    vectors = unit_rows(vectors_of(batch.column("vector")))
    return vectors, model.predict(vectors, Sizes(width, height))


def any_that_fit(vectors: DataFrame, saved: SavedModel) -> bool:
    """Whether there are vectors of the model's dimensions.

    Raises:
        InputError: there are only others.
    """
    sizes = sorted(r["d"] for r in vectors.select(F.size("vector").alias("d")).distinct().collect())
    if sizes and saved.dimensions not in sizes:
        saved.check_encoder(saved.encoder_id, sizes[0])
    return bool(sizes)


def check_day(saved: SavedModel, context: JobContext) -> None:
    """Refuse a model that could not have been known on the run's day.

    Raises:
        InputError: it was made of later banners.
    """
    if saved.last_dt and saved.last_dt > context.dt:
        raise InputError(
            f"The model {saved.model_id} was made of banners up to {saved.last_dt}: what it says of {context.dt} could not have "
            "been known then. Take a later --date, or train on that day."
        )


def _banners(context: JobContext, seen: SeenPictures, saved: SavedModel) -> DataFrame:
    """banner_id, pixel_hash of the day's banners; null without a picture."""
    days = context.warehouse.read(BANNER_DAYS, "dedupe_banners")
    of_day = days.where(F.col("dt") == F.lit(context.dt)).select("banner_id").distinct()
    return of_day.join(seen(context, saved.encoder_id).select("banner_id", "pixel_hash"), "banner_id", "left")


def _nodes(context: JobContext, seen: SeenPictures, saved: SavedModel, banners: DataFrame) -> DataFrame:
    """`checked_nodes` of the day's pictures."""
    # All banners' files, not the day's: any file with the same pixels may be the one that has the vector.
    files = seen(context, saved.encoder_id).join(banners.select("pixel_hash").distinct(), "pixel_hash", "left_semi")
    return checked_nodes(context, files, saved)


def checked_nodes(context: JobContext, files: DataFrame, saved: SavedModel) -> DataFrame:
    """node_id, banners, content_hash, width, height, vector of each distinct picture that has one by the model's encoder, and
    ``reason``: why it cannot be compared.

    Args:
        context: of the run.
        files: pixel_hash, content_hash, width, height, one row per banner.
        saved: the model.
    """
    stored = context.warehouse.read(EMBEDDINGS, "embed_banners").where(F.col("encoder_id") == saved.encoder_id)
    held = pictures_held(files, stored, "width", "height")
    return vector_faults(held.join(stored.select("content_hash", "vector"), "content_hash"), saved.dimensions)


def _check_any(context: JobContext, saved: SavedModel, nodes: DataFrame) -> None:
    """Refuse a day without a vector by the model's encoder, or with none of its dimensions.

    Raises:
        InputError: it is one.
    """
    if any_that_fit(nodes.where("reason IS NULL OR reason = 'other_dimensions'"), saved):
        return
    stored = context.warehouse.read(EMBEDDINGS, "embed_banners").select("encoder_id").distinct().collect()
    for other in sorted({r["encoder_id"] for r in stored} - {saved.encoder_id}):
        saved.check_encoder(other)
    raise InputError(f"embeddings has no vectors by {saved.encoder_id} for banners of {context.dt}. Run embed_banners first.")


def cluster_name(saved: SavedModel, label: Column) -> Column:
    """The cluster_id of a label, the same on every day; null for none."""
    digits = F.greatest(F.length(label.cast("string")), F.lit(6))
    return F.concat(F.lit(f"{saved.model_id}-"), F.lpad(label.cast("string"), digits, F.lit("0")))


def themes_of(saved: SavedModel, slots: Column) -> Column:
    """The map from numbers of themes to theme_ids; null for null, and of a model without themes.

    Args:
        saved: the model.
        slots: array of ints, see `slots_of_pictures`.
    """
    ids = [(F.lit(k), F.format_string(f"{theme_prefix(saved, k)}%02d", slots[i])) for i, k in enumerate(sorted(saved.themes))]
    return F.when(slots.isNotNull(), F.create_map(*[part for pair in ids for part in pair])) if ids else F.lit(None)


def _rows(context: JobContext, saved: SavedModel, banners: DataFrame, nodes: DataFrame) -> DataFrame:
    """`BANNER_ASSIGNMENTS`."""
    placed = predicted(nodes.where("reason IS NULL"), saved).withColumn("reason", F.lit(MODEL))
    known = placed.unionByName(nodes.where("reason IS NOT NULL").select("node_id", "reason"), allowMissingColumns=True)
    joined = banners.join(known.withColumnRenamed("node_id", "pixel_hash"), "pixel_hash", "left")
    absent = set(BANNER_ASSIGNMENTS.columns) - SAID
    nothing = {c: F.lit(None).cast(BANNER_ASSIGNMENTS.type_of(c)) for c in absent}
    own = {
        "dt": F.lit(context.dt),
        "clustering_id": F.lit(saved.model_id),
        "cluster_id": cluster_name(saved, F.col("label")),
        "reason": F.coalesce("reason", F.lit(NO_VECTOR)),
        "themes": themes_of(saved, F.col("theme_slots")),
    }
    return joined.withColumns({**own, **nothing})
