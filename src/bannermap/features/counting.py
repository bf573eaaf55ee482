"""Feature rows of several revisions in one pass over the partials: by clusters, and by each number of themes asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from bannermap.features import transforms as t
from bannermap.features.arrow import Wanted
from bannermap.features.digests import sha256_of
from bannermap.features.gate import CLUSTERS
from bannermap.features.inputs import coded_clusterings
from bannermap.features.layout import EPOCH, stored_files, tasks_of
from bannermap.features.revisions import Revision
from bannermap.features.sets import configured_sets
from bannermap.platform.checkpoints import Checkpoints
from bannermap.platform.errors import PublicationError
from bannermap.platform.runs import JobContext
from bannermap.platform.settings import FeatureSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

STAGING = "_staging/build_user_features"
"""Below the warehouse: feature rows that were counted and are not published yet."""


def form_of(themes: int | None) -> str:
    """What rows are counted by: ``clusters``, or ``themes_05`` for five themes, by which outliers count as well."""
    return CLUSTERS if themes is None else f"themes_{themes:02d}"


def forms_with_recency(settings: FeatureSettings) -> dict[str, bool]:
    """Every form that anything is made from, clusters first, then themes ascending -> whether it needs recencies."""
    recent = {chosen.themes for chosen in configured_sets(settings) if chosen.recency}
    return {form_of(themes): themes in recent for themes in (None, *settings.theme_counts)}


@contextlib.contextmanager
def counted(context: JobContext, partials: DataFrame, revisions: Sequence[Revision]) -> Iterator[dict[str, DataFrame]]:
    """Feature rows of all revisions by form, with ``target``, place of the revision in the list.

    They lie on disk until they are published: thirty days of them are more than a cache should hold, and a run that was killed
    finds them again. A dry run persists them. What the gate refuses goes, so that a mended run counts anew.
    """
    forms = forms_with_recency(context.settings.features)
    kept = Checkpoints(context.warehouse.spark, _staging(context, revisions, forms))
    schema = t.counted_rows(any(forms.values()))
    rows = kept.frame("rows", lambda: _all_forms(context, partials, revisions, forms), ("form",), schema)
    try:
        yield {form: rows.where(F.col("form") == form).drop("form") for form in forms}
    except PublicationError:
        kept.end()
        raise
    else:
        kept.end()
    finally:
        rows.unpersist()


def _all_forms(context: JobContext, partials: DataFrame, revisions: Sequence[Revision], forms: Mapping[str, bool]) -> DataFrame:
    reach = t.partials_in_reach(partials, [r.as_of for r in revisions])
    rows = _rows(context, reach, _wanted(context, revisions, forms))
    names = F.array(*[F.lit(form) for form in forms])
    form = F.get(names, F.floor(F.col("target") / len(revisions)).cast("int"))
    return rows.withColumns({"form": form, "target": F.col("target") % len(revisions)})


def _wanted(context: JobContext, revisions: Sequence[Revision], forms: Mapping[str, bool]) -> Wanted:
    """All revisions by the first form, then all by the next: target = place of the form * revisions + place of the revision."""
    partition = {c: n for n, c in enumerate(dict.fromkeys(r.clustering_id for r in revisions))}
    assignments = coded_clusterings(context, list(partition), context.settings.features.theme_counts)
    first = np.array([partition[r.clustering_id] for r in revisions], np.int32)
    as_of = np.array([(r.as_of - EPOCH).days for r in revisions], np.int32)
    assignment = np.concatenate([first + number * len(partition) for number in range(len(forms))]).astype(np.int32)
    recency = np.repeat(np.array(list(forms.values()), bool), len(revisions))
    return Wanted(np.tile(as_of, len(forms)), assignment, assignments, recency)


def _rows(context: JobContext, reach: DataFrame, wanted: Wanted) -> DataFrame:
    """Feature rows; in a dry run the partials may not be what is stored."""
    files = None if context.warehouse.read_only else stored_files(context.warehouse, reach)
    if files is None:
        return t.user_feature_rows(reach, wanted)
    tasks = tasks_of(files, context.settings.spark.shuffle_partitions)
    return t.stored_feature_rows(context.warehouse.spark, tasks, wanted)


def _staging(context: JobContext, revisions: Sequence[Revision], forms: Mapping[str, bool]) -> str | None:
    if context.warehouse.read_only:
        return None
    named = [f"{r.as_of} {r.clustering_id} {r.number} {r.digest}" for r in revisions]
    digest = sha256_of([*(f"{form} {recency}" for form, recency in forms.items()), *named])[:16]
    return f"{context.warehouse.root.rstrip('/')}/{STAGING}/{context.dt}-{digest}"
