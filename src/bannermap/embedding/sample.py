"""The job `embed_sample`: vectors of a sample of the stored pictures and of no others, to try an encoder on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from bannermap.embedding import transforms as t
from bannermap.embedding.encoders.chain import check_encoders, make_chain
from bannermap.embedding.frames import CONTENTS
from bannermap.embedding.job import image_kernel
from bannermap.embedding.making import Workshop
from bannermap.embedding.statuses import NO_BYTES, OK
from bannermap.platform.cli import Stage
from bannermap.platform.image_store import one_held_file
from bannermap.platform.runs import JobContext, say
from bannermap.platform.tables import EMBEDDINGS, LAB_EMBEDDINGS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SampledFiles = Callable[[JobContext, str], "DataFrame"]
"""Context, encoder_id -> node_id and content_hash, a row for each file of each picture of the sample."""
PHASES = ("draw a sample", "encode", "write vectors")


def sample_stage(sampled: SampledFiles) -> Stage:
    """The stage on the warehouse.

    Args:
        sampled: draws the sample of the run's day; it is another stage's.
    """
    work = functools.partial(run, sampled=sampled)
    return Stage("embed_sample", work, PHASES, lambda settings: check_encoders(settings.encoder))


def run(context: JobContext, sampled: SampledFiles) -> None:
    """Encode one file of each picture of the sample that has no vector yet, neither of embed_banners nor of an earlier sample.

    Nothing is fetched. A run that was killed is gone on with, and a second one encodes nothing.
    """
    warehouse, settings = context.warehouse, context.settings
    encoder_ids = make_chain(settings.encoder).encoder_ids
    workshop = Workshop(context, image_kernel(settings, settings.paths.images))
    with context.phase(PHASES[0]):
        files = sampled(context, encoder_ids[0]).persist()
        context.run.rows_in = _pictures(files)
        made = [warehouse.read_or_empty(table).select("encoder_id", "content_hash") for table in (EMBEDDINGS, LAB_EMBEDDINGS)]
        waiting = t.files_without_vector(files, made[0].union(made[1]), encoder_ids).persist()
        todo = CONTENTS.select(one_held_file(warehouse, settings.fetch.image_cache, "node_id", waiting)).persist()
    context.run.rows_out = context.run.rows_in - _pictures(waiting)
    context.run.metrics["stored_images_encoded"] = 0.0
    if todo.count():  # else no model is loaded
        with context.phase(PHASES[1]):
            images = workshop.from_contents(todo)
            _count(context, images)
        with context.phase(PHASES[2]):
            warehouse.insert_new(LAB_EMBEDDINGS, t.vector_rows(images))
    if left := context.run.rows_in - context.run.rows_out - sum(context.run.rejected.values()):
        context.run.rejected[NO_BYTES] = left
    _say(context, encoder_ids)
    workshop.clear()
    warehouse.spark.catalog.clearCache()


def _pictures(files: DataFrame) -> int:
    return files.select("node_id").distinct().count()


def _count(context: JobContext, images: DataFrame) -> None:
    """What came of the files: their vectors, and why some have none."""
    run, totals, counts = context.run, t.totals(images), t.outcomes(images)
    made = counts.pop(OK, 0)
    run.rows_out += made
    run.rejected.update(counts)
    run.metrics |= {"stored_images_encoded": float(made)} | {k: v for k, v in totals.items() if k.endswith("_task_s")}


def _say(context: JobContext, encoder_ids: tuple[str, ...]) -> None:
    """What came of it, with the names that lab.encoder_ids takes."""
    run = context.run
    left = ", ".join(f"{pictures} {reason}" for reason, pictures in sorted(run.rejected.items()))
    made = f"{run.rows_out} of {run.rows_in} pictures of the sample have a vector by {' or '.join(encoder_ids)}"
    say(f"{context.title}: {made}, {run.metrics['stored_images_encoded']:.0f} of them new; without: {left or 'none'}")
