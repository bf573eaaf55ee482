"""The configuration as frozen models: every key with its range. `conf/base.yaml` gives each key its value and reason."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from bannermap.platform.settings.analytics import AnalyticsSettings
from bannermap.platform.settings.claims import ClaimSettings
from bannermap.platform.settings.common import Cosine, Positive, Section, Share
from bannermap.platform.settings.experiment import ExperimentSettings, GridSettings
from bannermap.platform.settings.features import FeatureSettings
from bannermap.platform.settings.images import DecodeSettings, EncoderSettings, FetchSettings
from bannermap.platform.settings.lab import LabSettings
from bannermap.platform.settings.monitoring import MonitoringSettings
from bannermap.platform.settings.places import Address, SparkAddress, SparkExtra
from bannermap.platform.settings.publish import PublishSettings
from bannermap.platform.settings.retention import RetentionSettings
from bannermap.platform.settings.training import TrainingSettings


class Paths(Section):
    """Where things lie; local paths or any address that Spark's file systems know."""

    warehouse: SparkAddress
    banner_log: SparkAddress
    event_log: SparkAddress
    images: Address
    report: Address


class SparkSettings(Section):
    """What the session is built with; spark-submit's own options win."""

    app_name: str
    master: Address | None
    shuffle_partitions: Positive
    arrow_batch_rows: Annotated[int, Field(ge=1, le=10_000)]
    log_level: Literal["ERROR", "WARN", "INFO"]
    progress_seconds: Annotated[float, Field(ge=0.0)]
    extra: SparkExtra


class RegistrySettings(Section):
    """When a day's banner log is believed."""

    min_share_of_previous_day: Share


class CellSettings(Section):
    """How neighbours are looked for where not everything is searched, see `clustering.cells`."""

    rows_per_cell: Annotated[int, Field(ge=2, le=1_000_000)] = 1024
    probes: Positive = 12
    sample_rows: Annotated[int, Field(ge=2, le=10_000_000)] = 65536
    seed: Annotated[int, Field(ge=0)] = 7


class AuditSettings(Section):
    """How each search is checked, see `clustering.audit`."""

    sample_rows: Positive = 2000
    min_recall: Share = 0.98
    below_min_recall: Literal["fail", "warn"] = "fail"


class AdaptiveSettings(Section):
    """How far the next cuts of a group lie where `threshold_policy` is adaptive, see `clustering.policy`."""

    step_per_looseness: Annotated[float, Field(gt=0.0, le=10.0)] = 0.3
    min_step: Annotated[float, Field(ge=0.01, le=1.0)] = 0.05
    max_step: Annotated[float, Field(ge=0.01, le=1.0)] = 0.07
    reach_per_looseness: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    straggler_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.05

    @model_validator(mode="after")
    def _steps_in_order(self) -> AdaptiveSettings:
        if self.min_step > self.max_step:
            raise ValueError(
                f"min_step {self.min_step} is more than max_step {self.max_step}, so no step would do: "
                "lower the first or raise the second"
            )
        return self


class ClusteringSettings(Section):
    """The rule of the partition, see `clustering.recursion`; every threshold is a cosine of unit vectors."""

    threshold_policy: Literal["fixed", "adaptive"] = "fixed"
    initial_threshold: Cosine = 0.75
    threshold_step: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    min_threshold: Share = 0.60
    max_threshold: Cosine = 0.9999
    adaptive: AdaptiveSettings = AdaptiveSettings()
    accept_cohesion: Annotated[float, Field(gt=0.0, le=1.0)] = 0.96
    min_split_improvement: Annotated[float, Field(ge=0.0, le=2.0)] = 0.02
    min_group_size: Positive = 2
    max_depth: Annotated[int, Field(ge=0, le=1000)] = 10
    k_neighbors: Annotated[int, Field(ge=1, le=1000)] = 30
    reduced_dimensions: Annotated[int, Field(ge=0, le=4096)] = 128
    split_search: Literal["lookahead", "first"] = "lookahead"
    search: Literal["auto", "exact", "cells"] = "auto"
    exact_max_rows: Annotated[int, Field(ge=0)] = 50_000
    cells: CellSettings = CellSettings()
    audit: AuditSettings = AuditSettings()
    rebuild_every_days: Positive = 30
    retire_after_days: Positive = 90
    theme_counts: tuple[Annotated[int, Field(ge=1, le=32)], ...] = (5, 10, 15)
    min_duplicate_cosine: Cosine = 0.98
    encoder_id: str | None = None
    block_rows: Annotated[int, Field(ge=2, le=1_000_000)] = 16384
    partitions: Positive = 8

    @field_validator("theme_counts")
    @classmethod
    def _each_count_once(cls, counts: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(counts)) < len(counts):
            raise ValueError(f"{', '.join(map(str, counts))} names a number twice: name each once")
        return counts

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> ClusteringSettings:
        if self.first_threshold > self.max_threshold:
            name = "initial_threshold" if self.threshold_policy == "fixed" else "min_threshold"
            raise ValueError(
                f"{name} {self.first_threshold} lies above max_threshold {self.max_threshold}, "
                "so no edge could ever be cut: lower the first or raise the second"
            )
        return self

    @property
    def first_threshold(self) -> float:
        """Cosine of the first cut, -1 to 1; an edge below it joins nothing, whatever the policy does later."""
        return self.initial_threshold if self.threshold_policy == "fixed" else self.min_threshold


DATED_HASH = r"\d{4}-\d{2}-\d{2}-[0-9a-f]{12}"


class AssignmentSettings(Section):
    """Which clustering banners are assigned by, see `clustering.assignment_choice`; which ones all that follows goes by."""

    clustering_id: str | None = None
    model_id: str | None = None

    @field_validator("clustering_id")
    @classmethod
    def _is_a_clusterings_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(DATED_HASH, name):
            raise ValueError(
                f"{name!r} cannot be a clustering: its name is its day, '-' and 12 hexadecimal digits, as in the table "
                "clusterings; null takes the newest"
            )
        return name

    @field_validator("model_id")
    @classmethod
    def _is_a_models_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(DATED_HASH, name):
            raise ValueError(
                f"{name!r} cannot be a model: its name is its day, '-' and 12 hexadecimal digits, as train_strategy says it; "
                "null goes by the clusterings of cluster_banners"
            )
        return name


class ReportSettings(Section):
    """What the pages show, and how much they may weigh."""

    max_clusters: Positive
    clusters_per_page: Positive
    pictures_per_cluster: Positive
    emphasis_pictures: Annotated[int, Field(ge=0)]
    max_outliers: Annotated[int, Field(ge=0)]
    max_pairs: Annotated[int, Field(ge=0)]
    thumbnail_px: Annotated[int, Field(ge=16, le=512)]
    charted_days: Annotated[int, Field(ge=1, le=366)]
    max_total_bytes: Annotated[int, Field(ge=1_000_000)]


class SampleSettings(Section):
    """The drawn world of the demo and the tests."""

    size: Literal["tiny", "small", "large"]
    days: Annotated[int, Field(ge=1, le=60)]
    seed: Annotated[int, Field(ge=0)]
    taste_log_odds: Annotated[float, Field(ge=0.0, le=20.0)] = 6.0
    out: Address


class Settings(Section):
    """The whole configuration, resolved."""

    paths: Paths
    spark: SparkSettings
    registry: RegistrySettings
    fetch: FetchSettings
    decode: DecodeSettings
    encoder: EncoderSettings
    clustering: ClusteringSettings
    assignment: AssignmentSettings
    features: FeatureSettings
    report: ReportSettings
    sample: SampleSettings
    training: TrainingSettings
    analytics: AnalyticsSettings
    experiment: ExperimentSettings
    feature_grid: GridSettings = GridSettings()
    lab: LabSettings
    publish: PublishSettings = PublishSettings()
    retention: RetentionSettings = RetentionSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    claims: ClaimSettings = ClaimSettings()

    @model_validator(mode="after")
    def _themes_are_made(self) -> Settings:
        wanted = {"wide_themes": self.features.wide_themes}
        wanted |= {f"sets.{name}.themes": s.themes for name, s in self.features.sets.items() if s.themes}
        for key, themes in wanted.items():
            if themes not in self.clustering.theme_counts:
                raise ValueError(
                    f"features.{key} is {themes} and clustering.theme_counts makes "
                    f"{', '.join(map(str, self.clustering.theme_counts)) or 'none'}: take one of those, or add it there"
                )
        return self

    @model_validator(mode="after")
    def _clustered_pictures_are_kept(self) -> Settings:
        clustered = self.clustering.retire_after_days + self.clustering.rebuild_every_days
        if self.retention.image_days is not None and self.retention.image_days < clustered:
            raise ValueError(
                f"retention.image_days is {self.retention.image_days}, and banners stay clustered for up to {clustered} days "
                "(clustering.retire_after_days and rebuild_every_days): their pictures would be missing in the report, and for "
                "another encoder. Take at least as many days, or null to keep all"
            )
        return self
