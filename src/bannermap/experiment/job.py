"""The job `evaluate_features`: rows, models, comparisons, leak checks; tables, summary.json and the export."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bannermap.experiment import evaluation as v
from bannermap.experiment import gathering as g
from bannermap.experiment import words
from bannermap.experiment.assembling import Breach, breaches, impressions_of, variants_of
from bannermap.experiment.checks import check_test_impressions, check_themes
from bannermap.experiment.cluster_features import FeatureChoice, density, feature_names
from bannermap.experiment.export import FOLDER, split_for_export, write_export
from bannermap.experiment.models import check_models
from bannermap.platform.cli import FileMode, Stage
from bannermap.platform.config import settings_hash, settings_json
from bannermap.platform.errors import ConfigError, QualityError
from bannermap.platform.files import write_text
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import ExperimentSettings, Settings
from bannermap.platform.tables import (
    EXPERIMENT_RESULTS,
    EXPERIMENT_VERDICTS,
    FILE_EXPERIMENT_RESULTS,
    FILE_EXPERIMENT_VERDICTS,
)

if TYPE_CHECKING:
    import numpy as np
    from pyspark.sql import DataFrame, SparkSession

PHASES = ("read impressions and features", "train", "compare", "write results")
Phase = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Experiment:
    """Everything that is told of an experiment.

    Attributes:
        experiment_id: day and a hash of the settings.
        dt: last day of impressions.
        settings: of the experiment.
        comparisons: all.
        broken: rows against the order of time.
        facts: figures for summary.json.
        features: float32 (rows, features) of `v.FEATURES`.
        drawn: the rows.
    """

    experiment_id: str
    dt: datetime.date
    settings: ExperimentSettings
    comparisons: list[v.Comparison]
    broken: list[Breach]
    facts: Mapping[str, Any]
    features: np.ndarray
    drawn: g.Drawn

    @property
    def alarm(self) -> str | None:
        """What leaks, if anything does."""
        return words.alarm(v.leaks(self.comparisons), self.broken)

    @property
    def key(self) -> dict[str, Any]:
        """What all of its rows have in common."""
        return {"experiment_id": self.experiment_id, "dt": self.dt}

    def summary(self) -> str:
        """summary.json."""
        settings = json.loads(settings_json(self.settings))
        verdicts = [words.verdict_of(c) for c in self.comparisons]
        body = {**self.facts, "leak": self.alarm, "verdicts": verdicts, "settings": settings}
        return json.dumps({**self.key, "dt": self.dt.isoformat(), **body}, indent=1)


def stage(read_events: g.EventReader) -> Stage:
    """The stage on the warehouse.

    Args:
        read_events: the events that the features count; a stage knows no other, so its job hands it over.
    """

    def run(context: JobContext) -> None:
        with context.phase(PHASES[0]):
            settings, spark = context.settings.experiment, context.warehouse.spark
            drawn = g.drawn(spark, g.of_warehouse(context, read_events), context.dt, settings)
        done = evaluated(drawn, context.dt, settings, context.phase, context.settings.assignment.model_id)
        with context.phase(PHASES[3]):
            _write_tables(context, done)
        context.run.rows_in, context.run.rows_out = drawn.impressions, len(drawn.collected.rows)
        context.run.metrics.update({k: float(x) for k, x in done.facts.items() if isinstance(x, int | float)})
        _tell(done)

    return Stage("evaluate_features", run, PHASES, check=check)


def files_mode(read_events: Callable[..., DataFrame], read_assignment: Callable[..., DataFrame]) -> FileMode:
    """The stage on plain files.

    Args:
        read_events: session, settings, path -> the events that count.
        read_assignment: session, settings, options -> banner_id, cluster_id.
    """

    def run(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
        events = read_events(spark, settings, values["events"])
        last = _day(values["last_day"])
        sources = g.of_files(spark, settings, events, read_assignment(spark, settings, values), values["features"], last)
        own = without_themes(settings.experiment)
        done = evaluated(g.drawn(spark, sources, last, own), last, own, _spoken)
        _write_files(spark, done, values["out"].rstrip("/"))
        _tell(done)

    options = {
        "events": "Parquet or Delta with event_id, event_type, event_ts, user_id, banner_id and any context",
        "assignments": "Parquet or Delta with banner_id, cluster_id: that of build_user_features",
        "features": "user_cluster_counts that build_user_features wrote for some days; may hold wildcards",
        "last-day": "last day of impressions, YYYY-MM-DD",
    }
    return FileMode(options, run, check=lambda settings: check_models(settings.experiment))


def check(settings: Settings) -> None:
    """What can be known to be wrong before Spark starts.

    Raises:
        ConfigError: it is.
    """
    check_themes(settings)
    check_models(settings.experiment)


def evaluated(
    drawn: g.Drawn, last_day: datetime.date, settings: ExperimentSettings, phase: Phase, model_id: str | None = None
) -> Experiment:
    """Train and compare.

    Args:
        drawn: rows.
        last_day: of impressions.
        settings: of the experiment.
        phase: told what is done.
        model_id: of the model whose clusterings are asked about; None for those of cluster_banners.

    Raises:
        InputError: a test day has no impressions, or nothing can be learned or judged.
    """
    choice = FeatureChoice(settings.blocks, settings.events, settings.windows_days, settings.themes)
    with phase(PHASES[1]):
        impressions = impressions_of(drawn.collected.rows)
        check_test_impressions(impressions.day, last_day, settings)
        own = variants_of(drawn.collected, choice)
        result = v.trained(impressions, v.with_placebos(own, impressions.day, settings.seed), settings.test_days, settings)
    with phase(PHASES[2]):
        comparisons = v.compared(impressions, result, settings)
    broken = breaches(drawn.collected)
    facts = _facts(drawn, impressions, result, comparisons, own[v.FEATURES])
    name = experiment_name(last_day, settings, model_id)
    return Experiment(name, last_day, settings, comparisons, broken, facts, own[v.FEATURES], drawn)


def experiment_name(last_day: datetime.date, settings: ExperimentSettings, model_id: str | None) -> str:
    """The experiment_id: the day, and a hash of the settings, and of the model where there is one."""
    text = settings_hash(settings)
    digest = hashlib.sha256(f"{text}{model_id}".encode()).hexdigest() if model_id else text
    return f"{last_day}-{digest[:12]}"


def without_themes(settings: ExperimentSettings) -> ExperimentSettings:
    """The settings less the blocks that need themes: plain files have none."""
    blocks = tuple(b for b in settings.blocks if b in ("cluster", "all"))
    if not blocks:
        raise ConfigError("experiment.blocks names themes alone, and plain files have none: add cluster or all.")
    return settings.model_copy(update={"blocks": blocks})


def _facts(
    drawn: g.Drawn, impressions: v.Impressions, result: v.Trained, comparisons: list[v.Comparison], features: np.ndarray
) -> dict[str, Any]:
    rows = len(impressions.day)
    return {
        "impressions": drawn.impressions,
        "impressions_left_out": drawn.impressions - rows,
        "train_impressions": rows - len(result.test),
        "test_impressions": len(result.test),
        "train_click_rate": result.train_click_rate,
        "clicks": drawn.clicks,
        "unattributed_clicks": drawn.unattributed_clicks,
        "feature_density": density(features[result.test]),
        "features": features.shape[1],
        "unchecked_counts": words.unchecked(drawn.collected.late_begin),
        "slices_left_out": v.slices_left_out(impressions, result.test, comparisons),
        "unfinished_fits": [f"{model} {variant}" for model, variant in result.unfinished],
    }


def _write_tables(context: JobContext, done: Experiment) -> None:
    wh = context.warehouse
    for table, rows in _rows(done):
        frame = wh.spark.createDataFrame(rows, table.schema)
        wh.overwrite_partition(table, frame, experiment_id=done.experiment_id)
    if not wh.read_only:
        out = done.settings.out or f"{wh.root}/experiment"
        _write_beside(wh.spark, done, f"{out.rstrip('/')}/{done.experiment_id}")


def _write_files(spark: SparkSession, done: Experiment, out: str) -> None:
    for (table, rows), own in zip(_rows(done), (FILE_EXPERIMENT_RESULTS, FILE_EXPERIMENT_VERDICTS), strict=True):
        spark.createDataFrame(rows, own.schema).coalesce(1).write.mode("overwrite").parquet(f"{out}/{table.name}")
    _write_beside(spark, done, out)


def _rows(done: Experiment) -> Iterator[tuple[Any, list[tuple[Any, ...]]]]:
    yield EXPERIMENT_RESULTS, words.result_rows(done.comparisons, done.key)
    yield EXPERIMENT_VERDICTS, words.verdict_rows(done.comparisons, done.key)


def _write_beside(spark: SparkSession, done: Experiment, folder: str) -> None:
    write_text(spark, f"{folder}/summary.json", done.summary())
    if done.settings.export:
        rows, settings = done.drawn.collected.rows, done.settings
        names = feature_names(FeatureChoice(settings.blocks, settings.events, settings.windows_days, settings.themes))
        part = split_for_export((rows["event_us"] // g.DAY_US).to_numpy(), settings.test_days)
        write_export(f"{folder}/{FOLDER}", f"bannermap_{done.dt:%Y%m%d}", rows, done.features, names, part)
    say(f"summary.json in {folder}")


def _tell(done: Experiment) -> None:
    """Say the result; end with an error where something leaks.

    Raises:
        QualityError: it does.
    """
    facts = done.facts
    say(
        f"{facts['train_impressions']:,} impressions to train, {facts['test_impressions']:,} to test, "
        f"{facts['impressions_left_out']:,} left out by experiment.max_rows; {facts['unattributed_clicks']:,} of "
        f"{facts['clicks']:,} clicks belong to no impression; {facts['feature_density']:.1%} of the test rows have any feature"
    )
    for name in facts["unfinished_fits"]:
        say(f"the fit of {name} stopped at experiment.logistic.max_iterations")
    if facts["unchecked_counts"]:
        say(facts["unchecked_counts"])
    for found in done.comparisons:
        if found.kind == v.ALL:
            say(words.sentence(found))
    if done.alarm:
        raise QualityError(done.alarm)


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--last-day takes a day as YYYY-MM-DD, got '{text}'.") from None


@contextmanager
def _spoken(name: str) -> Iterator[None]:
    say(name)
    yield
