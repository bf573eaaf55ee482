"""The job `train_strategy`: one configuration on as much as is configured, kept in a folder that predicts by itself."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError
from pyspark.sql import functions as F

from bannermap import __version__
from bannermap.lab import gathering as g
from bannermap.lab.comparing import plain
from bannermap.lab.data import Pictures
from bannermap.lab.encoders import best_encoder
from bannermap.lab.figures import BETWEEN_CENTRES, figures
from bannermap.lab.fitting import Configuration, Fit, Preparation, fit
from bannermap.lab.job import Given, gathered_pictures
from bannermap.lab.labels import cluster_sums, coded
from bannermap.lab.models import ARRAYS, DESCRIPTION, SavedModel, packed, unpacked
from bannermap.lab.rules import most_similar
from bannermap.lab.sampling import EPOCH
from bannermap.lab.separation import silhouette, unit_rows
from bannermap.lab.sizes import Weights, giant_warning
from bannermap.lab.strategies import STRATEGIES, check_mode, check_strategies, checked_parameters
from bannermap.lab.strategies.interface import ThemeMaker
from bannermap.platform.cli import Stage
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.files import read_bytes, read_text, write_bytes, write_text
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import ClusteringSettings, LabSettings, Settings
from bannermap.platform.tables import LAB_RESULTS

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

MOST_COMPARED = 10_000
"""Clusters up to which a model's facts have figures that compare all centres with all: a minute in 3,072 dimensions."""
PHASES = ("choose a strategy", "gather pictures", "fit", "keep the model")


@dataclass(frozen=True)
class Choice:
    """What is trained.

    Attributes:
        encoder_id: on whose vectors.
        configuration: which.
        clustering: the section that a strategy goes by which goes by it: that of the comparison, else as configured.
    """

    encoder_id: str
    configuration: Configuration
    clustering: ClusteringSettings

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything that the fit goes by, as plain values: what is laid over the section, preparation, section."""
        configuration = self.configuration
        said = {**configuration.parameters, "preparation": vars(configuration.preparation)}
        by_clustering = STRATEGIES[configuration.strategy].by_clustering
        return said | ({"clustering": self.clustering.model_dump(mode="json")} if by_clustering else {})


def stage(given: Given, kept: Callable[[SavedModel], None] = lambda saved: None) -> Stage:
    """The stage on the warehouse.

    Args:
        given: what other stages lend.
        kept: is told the model, once it is kept.
    """

    def run(context: JobContext) -> None:
        settings, warehouse = context.settings.lab, context.warehouse
        with context.phase(PHASES[0]):
            chosen = chosen_configuration(context)
            say(f"{context.title}: {chosen.configuration.name}, vectors by {chosen.encoder_id}")
        with context.phase(PHASES[1]):
            found = gathered_pictures(context, given, settings.train.max_rows, (chosen.encoder_id,))
            pictures = found.pictures[chosen.encoder_id]
        with context.phase(PHASES[2]):
            tools = replace(given.tools(warehouse.spark, context.settings), clustering=chosen.clustering)
            made = fit(pictures.vectors, chosen.configuration, settings.seed, tools, pictures.sizes)
        with context.phase(PHASES[3]):
            saved = saved_model(made, pictures, chosen, context.dt, settings)
            saved = named(with_themes(saved, made, pictures, given.themes, context.settings.clustering.theme_counts))
            if not warehouse.read_only:
                out = (settings.out or f"{warehouse.root}/lab").rstrip("/")
                store(warehouse.spark, f"{out}/models/{saved.model_id}", saved)
            kept(saved)
        context.run.rows_in, context.run.rows_out = found.known, len(pictures)
        context.run.metrics.update({k: v for k, v in saved.facts.items() if isinstance(v, float)})
        warning = giant_warning(made.labels, settings.max_cluster_share)
        if warning:
            say(f"{context.title}: {warning}")

    return Stage("train_strategy", run, PHASES, _check)


def _check(settings: Settings) -> None:
    train = settings.lab.train
    check_mode(settings.lab.mode)
    if train.strategy:
        check_strategies([train.strategy])
        checked_parameters(train.strategy, train.parameters, settings.clustering)
    elif train.parameters:
        raise ConfigError(
            "lab.train.parameters are set, and lab.train.strategy is not: what a comparison recommends has its own parameters. "
            "Name their strategy, or leave them empty."
        )


def chosen_configuration(context: JobContext) -> Choice:
    """The configured strategy, else what the newest comparison of the day or before recommends.

    Raises:
        InputError: there is none, or an old one did not note what its strategy went by.
        ConfigError: an old one did not note what was done to vectors, and the settings say something else than its name.
    """
    settings = context.settings.lab
    if settings.train.strategy:
        name, clustering = settings.train.strategy, context.settings.clustering
        parameters = checked_parameters(name, settings.train.parameters, clustering)
        return Choice(_single(g.encoders_of(context)), Configuration(name, parameters, _before(settings)), clustering)
    rows = context.warehouse.read(LAB_RESULTS, "compare_strategies").where(
        F.col("recommended") & (F.col("dt") <= F.lit(context.dt))
    )
    wanted = g.named_encoders(context.settings)
    own = rows.where(F.col("encoder_id").isin(*wanted)) if wanted else rows
    order = (F.desc("dt"), F.desc_nulls_last("sequence"), F.desc("comparison_id"))
    newest = own.orderBy(*order).limit(1).select("comparison_id").collect()
    if not newest:
        whose = f" for {', '.join(wanted)}" if wanted else ""
        raise InputError(
            f"No comparison of {context.dt} or before recommends anything{whose}. Run "
            "compare_strategies, or set lab.train.strategy and lab.train.parameters."
        )
    by_encoder = {r["encoder_id"]: r for r in own.where(F.col("comparison_id") == newest[0]["comparison_id"]).collect()}
    choice = best_encoder({name: row["figures"] for name, row in by_encoder.items()}, settings.smallest_difference)
    if choice.encoder_id is None:
        raise InputError(choice.reason)
    if len(by_encoder) > 1:
        say(f"{context.title}: {choice.reason}")
    row = by_encoder[choice.encoder_id]
    return Choice(choice.encoder_id, _recommended(row, settings), _section(row, context.settings.clustering))


def _single(encoders: tuple[str, ...]) -> str:
    if len(encoders) > 1:
        raise InputError(
            f"lab.encoder_ids names {', '.join(encoders)}, and a model has one encoder: name that one, or leave "
            "lab.train.strategy empty to take what a comparison recommends."
        )
    return encoders[0]


def _recommended(row: Row, settings: LabSettings) -> Configuration:
    """As it was compared; where its preparation was not noted, it has to be that of the settings."""
    parameters, noted = json.loads(row["parameters"]), row["preparation"]
    if noted is not None:
        return Configuration(row["strategy"], parameters, Preparation(**json.loads(noted)))
    found = Configuration(row["strategy"], parameters, _before(settings))
    if found.name != row["configuration"]:
        raise ConfigError(
            f"The comparison {row['comparison_id']} recommends {row['configuration']}, and with lab.pca_dimensions, "
            f"lab.pca_variance and lab.bucketing as they are {found.name} would be trained. Set them as they were, or run "
            "compare_strategies again."
        )
    return found


def _section(row: Row, configured: ClusteringSettings) -> ClusteringSettings:
    """The section `clustering` as it was compared; as configured for a strategy that does not go by it.

    Raises:
        InputError: it was not noted, or not as this program knows it.
    """
    if not STRATEGIES[row["strategy"]].by_clustering:
        return configured
    try:
        return ClusteringSettings.model_validate_json(row["clustering"] or "")
    except ValidationError:
        raise InputError(
            f"The comparison {row['comparison_id']} recommends {row['configuration']}, which goes by the section clustering, and "
            "another version stored it, without that section or with other keys: what would be trained now may not be what was "
            f"compared. Run compare_strategies again, or set lab.train.strategy={row['strategy']} and lab.train.parameters to "
            "go by the section as it is configured."
        ) from None


def _before(settings: LabSettings) -> Preparation:
    kept = settings.pca_dimensions if settings.pca_dimensions is not None else settings.pca_variance
    return Preparation(kept, settings.bucketing, settings.cells)


def saved_model(made: Fit, pictures: Pictures, chosen: Choice, day: datetime.date, settings: LabSettings) -> SavedModel:
    """The fit with its figures.

    Args:
        made: the fit.
        pictures: what it was made of.
        chosen: which.
        day: as of which; the model may be applied from it on.
        settings: of the lab.
    """
    samples = silhouette(pictures.vectors, made.labels).samples
    weights, clusters = Weights(**settings.composite.model_dump()), coded(made.labels).clusters
    facts: dict[str, Any] = figures(pictures, made.labels, samples, weights, MOST_COMPARED)
    if clusters > MOST_COMPARED:
        say(f"{clusters:,} clusters, more than {MOST_COMPARED:,}: {', '.join(BETWEEN_CENTRES)} were not taken")
    facts |= {"pictures": float(len(pictures)), "fitted_pictures": float(made.fitted_rows)}
    first = EPOCH + datetime.timedelta(days=int(pictures.days.min()))
    about: Mapping[str, Any] = plain({k: v for k, v in facts.items() if np.isfinite(v)})
    told = chosen.encoder_id, pictures.vectors.shape[1], chosen.configuration.strategy, chosen.parameters
    return SavedModel(made.model, *told, first, day, __version__, facts=about)


def with_themes(saved: SavedModel, made: Fit, pictures: Pictures, make: ThemeMaker, counts: Sequence[int]) -> SavedModel:
    """The model with the centroids of its clusters, and its themes: the largest has slot 1.

    Args:
        saved: without them.
        made: the fit.
        pictures: what it was made of.
        make: makes themes.
        counts: numbers of themes.
    """
    found = coded(made.labels)
    if not found.clusters:
        return saved
    present, sizes = np.unique(made.labels[found.rows]), found.sizes.astype(np.float64)
    own = unit_rows(cluster_sums(pictures.vectors, found)).astype(np.float32)
    centroids = np.zeros((int(present.max()) + 1, own.shape[1]), np.float32)
    centroids[present] = own
    themes = {}
    for k in counts:
        fitted = make(own, sizes, k)
        weights = np.bincount(most_similar(own, fitted)[0], sizes, len(fitted))
        themes[k] = fitted[np.argsort(-weights, kind="stable")]
    return replace(saved, centroids=centroids, themes=themes)


def named(saved: SavedModel) -> SavedModel:
    """The model under its name: its day and a hash of everything that it is."""
    text, data = packed(saved)
    return replace(saved, model_id=f"{saved.last_dt}-{hashlib.sha256(text.encode() + data).hexdigest()[:12]}")


def store(spark: SparkSession, folder: str, saved: SavedModel) -> None:
    """Keep a model in a folder of any file system that Spark knows; the description last, so that a cut-off folder has none."""
    text, data = packed(saved)
    write_bytes(spark, f"{folder}/{ARRAYS}", data)
    write_text(spark, f"{folder}/{DESCRIPTION}", text)
    say(f"model {saved.model_id} in {folder}")


def load(spark: SparkSession, folder: str) -> SavedModel:
    """A model from its folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    place = folder.rstrip("/")
    text, data = read_text(spark, f"{place}/{DESCRIPTION}"), read_bytes(spark, f"{place}/{ARRAYS}")
    if text is None or data is None:
        raise InputError(
            f"There is no model at {place}: {DESCRIPTION} or {ARRAYS} is absent. train_strategy says where it put one."
        )
    return unpacked(text, data, place)
