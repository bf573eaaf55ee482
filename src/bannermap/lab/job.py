"""The job `compare_strategies`: a sample, every strategy, gates, a recommendation; tables, labels and summary.json."""

from __future__ import annotations

import datetime
import functools
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap import __version__
from bannermap.lab import gathering as g
from bannermap.lab.comparing import TRUST, Compared, compare, plain, told
from bannermap.lab.encoders import EncoderChoice, best_encoder
from bannermap.lab.mosaics import Sheets
from bannermap.lab.naming import comparison_hash, file_name
from bannermap.lab.page import page
from bannermap.lab.places import check_scatter
from bannermap.lab.repeating import REPEATED, earlier_left_out
from bannermap.lab.sampling import FACTS, Named, SeenPictures, named_nodes, with_advertisers
from bannermap.lab.sheets import Drawing, contact_sheets
from bannermap.lab.strategies import Tools, check_mode, check_strategies, device_of
from bannermap.lab.strategies.interface import NeighbourSearch, RecursiveClustering, ThemeMaker
from bannermap.lab.trials import Say
from bannermap.platform.cli import FileMode, Stage
from bannermap.platform.config import settings_json
from bannermap.platform.errors import ConfigError
from bannermap.platform.files import read_text, remove, write_bytes, write_text
from bannermap.platform.runs import JobContext, say
from bannermap.platform.sequences import next_sequence
from bannermap.platform.settings import Settings
from bannermap.platform.tables import FILE_LAB_LABELS, FILE_LAB_RESULTS, LAB_LABELS, LAB_RESULTS, NO_DAY
from bannermap.platform.threads import at_once

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PHASES = ("draw a sample", "compare", "write results")
SUMMARY = "summary.json"
FILES_ENCODER = "file"
"""Stands for the encoder of vectors that come without its name."""


@dataclass(frozen=True)
class Given:
    """What a job hands over from the stages that this one may not know.

    Attributes:
        cluster: the recursive clustering in one process.
        neighbours: its search.
        seen: the pictures of a day.
        draw: small pictures of stored ones.
        themes: centroids of clusters, their weights and a number -> that many centroids of themes, or fewer.
    """

    cluster: RecursiveClustering
    neighbours: NeighbourSearch
    seen: SeenPictures
    themes: ThemeMaker
    draw: Drawing

    def tools(self, spark: SparkSession, settings: Settings) -> Tools:
        """For strategies."""
        return Tools(self.cluster, self.neighbours, settings.clustering, spark, device_of(settings.lab.mode))


def check(settings: Settings) -> None:
    """What can be known to be wrong before Spark starts.

    Raises:
        ConfigError: the package of a strategy or of the scatter is absent, or a GPU that the mode asks for.
    """
    check_mode(settings.lab.mode)
    check_strategies(settings.lab.strategies)
    check_scatter(settings.lab.scatter)


def stage(given: Given) -> Stage:
    """The stage on the warehouse."""

    def run(context: JobContext) -> None:
        settings, warehouse = context.settings.lab, context.warehouse
        with context.phase(PHASES[0]):
            found = gathered_pictures(context, given, settings.sample_rows)
        with context.phase(PHASES[1]):
            tools = given.tools(warehouse.spark, context.settings)
            name = f"{context.dt}-{comparison_hash(context.settings, found.pictures)}"
            folder = f"{(settings.out or f'{warehouse.root}/lab').rstrip('/')}/{name}"
            earlier = earlier_left_out(read_text(warehouse.spark, f"{folder}/{SUMMARY}"), name, found.pictures)
            done = compare_all(found, context.settings, tools, lambda text: say(f"{context.title}: {text}"), earlier)
        with context.phase(PHASES[2]):
            clustering = settings_json(context.settings.clustering)
            frames = result_frames(warehouse.spark, name, context.dt, done, clustering, _sequence(context, name))
            for table, frame in zip((LAB_RESULTS, LAB_LABELS), frames, strict=True):
                warehouse.overwrite_partition(table, frame, comparison_id=name)
            if not warehouse.read_only:
                sheets = contact_sheets(context, done, given.draw)
                write_beside(warehouse.spark, folder, name, context.dt, done, found.known, context.settings, sheets)
                context.run.metrics["mosaics"] = float(sum(map(len, sheets.mosaics.values())))
        context.run.rows_in, context.run.rows_out = found.known, sum(len(d.pictures) for d in done)
        context.run.metrics["configurations_ranked"] = float(sum(len(d.outcome.ranked) for d in done))

    return Stage("compare_strategies", run, PHASES, check)


def files_mode(given: Given) -> FileMode:
    """The stage on a file of vectors."""

    def run(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
        stored = g.nodes_of_files(spark, values["embeddings"]).persist()
        checked = g.checked(stored)
        if unusable := g.faults(checked):
            say("left out: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(unusable.items())))
        nodes = {FILES_ENCODER: g.usable(checked)}
        found = g.gathered(nodes, nodes[FILES_ENCODER].select(*FACTS), Named(), settings.lab.sample_rows, settings.lab)
        stored.unpersist()
        out, name = values["out"].rstrip("/"), f"file-{comparison_hash(settings, nodes)}"
        earlier = earlier_left_out(read_text(spark, f"{out}/{SUMMARY}"), name, found.pictures)
        done = compare_all(found, settings, given.tools(spark, settings), say, earlier)
        frames = result_frames(spark, name, NO_DAY, done, settings_json(settings.clustering))
        for table, folder, frame in zip((FILE_LAB_RESULTS, FILE_LAB_LABELS), ("results", "labels_parquet"), frames, strict=True):
            table.select(frame).coalesce(1).write.mode("overwrite").parquet(f"{out}/{folder}")
        write_beside(spark, out, name, NO_DAY, done, found.known, settings)

    text = "Parquet with content_hash, vector, and what is known of: advertiser_id, dt, width, height, truth (a class)"
    return FileMode({"embeddings": text}, run, check=_check_file)


def _check_file(settings: Settings) -> None:
    """`check`, and that nothing asks for banners, which a file of vectors does not name."""
    check(settings)
    named = [name for name in ("targets", "pairs") if getattr(settings.lab, name)]
    if named:
        raise ConfigError(
            f"lab.{named[0]} names banners of a warehouse, and a file of vectors has none: leave it out, or compare a warehouse."
        )


def gathered_pictures(context: JobContext, given: Given, rows: int, encoders: tuple[str, ...] | None = None) -> g.Gathered:
    """A sample of the warehouse's pictures, with the vectors of each encoder that is compared."""
    names = encoders or g.encoders_of(context)
    banners = {name: with_advertisers(context, given.seen(context, name)).persist() for name in names}
    stored = {name: g.nodes_of_warehouse(context, name, banners[name]).persist() for name in names}
    checked = {name: g.checked(frame) for name, frame in stored.items()}
    nodes = {name: g.usable(frame) for name, frame in checked.items()}
    context.run.rejected.update(sum((Counter(g.faults(frame)) for frame in checked.values()), Counter()))
    known = stored[names[0]].select(*FACTS)  # all pictures, with a vector or without
    named = named_nodes(context, banners[names[0]])
    found = g.gathered(nodes, known, named, rows, context.settings.lab)
    for frame in (*stored.values(), *banners.values()):
        frame.unpersist()
    return found


def compare_all(
    found: g.Gathered, settings: Settings, tools: Tools, tell: Say, earlier: Mapping[str, Collection[str]]
) -> list[Compared]:
    """Each encoder in turn, with its share of the time; ``earlier`` is of `earlier_left_out`."""
    done = []
    for name, pictures in found.pictures.items():
        tell(f"{len(pictures):,} of {found.known:,} pictures, vectors by {name}")
        share, known = 1.0 / len(found.pictures), earlier.get(name)
        if known is not None:
            tell(REPEATED.format(left_out=f"{len(known):,}" if known else "none"))
        done.append(compare(name, pictures, found.pairs, settings.lab, tools, share, tell, found.targets, known))
        tell(done[-1].outcome.recommendation.reason)
    if len(done) > 1:
        tell(chosen_encoder(done, settings).reason)
    return done


def chosen_encoder(done: list[Compared], settings: Settings) -> EncoderChoice:
    """Of the encoders whose comparison recommends something."""
    chosen = {d.encoder_id: d.outcome.recommendation.chosen for d in done}
    known = {d.encoder_id: d.figures[name] for d in done if (name := chosen[d.encoder_id])}
    if not known:
        return EncoderChoice(None, "No encoder's comparison recommends anything.")
    return best_encoder(known, settings.lab.smallest_difference)


def _sequence(context: JobContext, name: str) -> int:
    known = context.warehouse.read_or_empty(LAB_RESULTS).where(F.col("dt") == F.lit(context.dt))
    rows = known.select("comparison_id", "sequence").distinct().collect()
    return next_sequence({r["comparison_id"]: r["sequence"] for r in rows}, name)


def result_frames(
    spark: SparkSession, name: str, day: datetime.date, done: list[Compared], clustering: str, sequence: int = 1
) -> tuple[DataFrame, DataFrame]:
    """Rows of `LAB_RESULTS` and `LAB_LABELS`; ``clustering`` is the section that was gone by, as JSON."""
    key = {"comparison_id": name, "dt": day, "sequence": sequence, "clustering": clustering}
    results = [tuple({**key, **row}[c] for c in LAB_RESULTS.columns) for d in done for row in _result_rows(d)]
    labels = [_label_table(name, d, trial) for d in done for trial in d.labels]
    empty = spark.createDataFrame([], LAB_LABELS.schema)
    frame = LAB_LABELS.select(spark.createDataFrame(pa.concat_tables(labels))) if labels else empty
    return spark.createDataFrame(results, LAB_RESULTS.schema), frame


def _result_rows(done: Compared) -> Iterator[dict[str, Any]]:
    recommended = done.outcome.recommendation.chosen
    places = {t.name: place for place, t in enumerate(done.outcome.ranked, 1)}
    for trial in done.outcome.trials:
        yield {
            "encoder_id": done.encoder_id,
            "configuration": trial.name,
            "strategy": trial.configuration.strategy,
            "parameters": json.dumps(dict(trial.configuration.parameters), sort_keys=True),
            "preparation": json.dumps(vars(trial.configuration.preparation), sort_keys=True),
            "status": trial.status,
            "reason": done.outcome.recommendation.reason if trial.name == recommended else trial.reason or None,
            "place": places.get(trial.name),
            "recommended": trial.name == recommended,
            "score": plain(trial.score),
            "stability": plain(trial.stability.mean()) if len(trial.stability) else None,
            "permuted_deviations": plain(trial.permuted.deviations) if trial.permuted else None,
            "rows": trial.rows,
            "seconds": trial.seconds,
            "figures": {k: float(v) for k, v in done.figures.get(trial.name, {}).items() if plain(float(v)) is not None},
        }


def _label_table(name: str, done: Compared, trial: str) -> pa.Table:
    labels = done.labels[trial]
    constant = {"comparison_id": name, "encoder_id": done.encoder_id, "configuration": trial}
    columns = {c: pa.array([v] * len(labels), pa.string()) for c, v in constant.items()}
    ids, given = pa.array(list(done.pictures.names), pa.string()), pa.array(labels, mask=labels < 0)
    return pa.table({**columns, "node_id": ids, "label": given, "held_out": pa.array(done.hidden)})


def _mosaics_told(sheets: Sheets, encoder_id: str) -> dict[str, Any]:
    """Of the recommended configuration; null where nothing was drawn, as of plain files."""
    left_out = sheets.left_out.get(encoder_id)
    return {"mosaics_left_out": vars(left_out) if left_out else None}


def write_beside(
    spark: SparkSession,
    folder: str,
    name: str,
    day: datetime.date,
    done: list[Compared],
    known: int,
    settings: Settings,
    sheets: Sheets | None = None,
) -> None:
    """index.html, summary.json, mosaics/*.webp, and labels/*.npy: int64, -1 for outliers, in the order of node_ids of the
    index.json beside."""
    sheets = sheets or Sheets()
    parts = [told(d, settings.lab) | _mosaics_told(sheets, d.encoder_id) for d in done]
    for place in (f"{part}/{file_name(d.encoder_id)}" for part in ("labels", "mosaics") for d in done):
        remove(spark, f"{folder}/{place}")  # of a former run, whose pictures may have been others
    summary = {
        "comparison_id": name,
        "bannermap_version": __version__,
        "dt": None if day == NO_DAY else day.isoformat(),
        "pictures_known": known,
        "which_measure_to_trust": TRUST,
        "encoders": parts,
        "encoder_to_take": vars(chosen_encoder(done, settings)),
        "settings": json.loads(settings_json(settings.lab)),
    }
    for d in done:
        place = f"{folder}/labels/{file_name(d.encoder_id)}"
        files = {f"{number:03d}_{trial.split('(', 1)[0]}.npy": trial for number, trial in enumerate(d.labels)}
        for file, trial in files.items():
            buffer = io.BytesIO()
            np.save(buffer, d.labels[trial])
            write_bytes(spark, f"{place}/{file}", buffer.getvalue())
        write_text(spark, f"{place}/index.json", json.dumps({"files": files, "node_ids": list(d.pictures.names)}))
    drawn = {
        f"{folder}/mosaics/{file_name(encoder_id)}/{file_name(trial)}/cluster-{m.chosen.label:06d}.webp": m.webp
        for (encoder_id, trial), mosaics in sheets.mosaics.items()
        for m in mosaics
    }
    at_once(spark, [functools.partial(write_bytes, spark, *file) for file in drawn.items()])  # hundreds, and each mostly waits
    write_text(spark, f"{folder}/index.html", page(name, known, done, parts, settings.lab.scatter, sheets))
    write_text(spark, f"{folder}/{SUMMARY}", json.dumps(plain(summary), indent=1))
    say(f"index.html and summary.json in {folder}")
