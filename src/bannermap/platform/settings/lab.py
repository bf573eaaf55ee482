"""Configuration of the strategy lab."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bannermap.platform.settings.common import Positive, Seconds, Section, Share
from bannermap.platform.settings.experiment import OnceEach
from bannermap.platform.settings.places import Address

StrategyName = Literal["recursive", "kmeans", "bisecting_kmeans", "gmm", "lda", "pic", "hdbscan", "dbscan"]
Stratum = Literal["day", "advertiser", "size"]


class CompositeSettings(Section):
    """Weights of the composite, see `lab.sizes`."""

    silhouette: Share = 0.3
    balance: Share = 0.4
    noise: Share = 0.3

    @model_validator(mode="after")
    def _adds_up(self) -> CompositeSettings:
        total = self.silhouette + self.balance + self.noise
        if abs(total - 1.0) > 1e-9:
            raise ValueError(
                f"silhouette, balance and noise add up to {total:g}: make them add up to 1, so that 1 is the best score"
            )
        return self


class LabGateSettings(Section):
    """What a clustering has to show before it is ranked, see `lab.gates`."""

    permutations: Annotated[int, Field(ge=2, le=1000)] = 20
    min_deviations: Annotated[float, Field(ge=0.0)] = 3.0
    min_stability: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.5


class LabTrainSettings(Section):
    """What train_strategy trains."""

    strategy: StrategyName | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    max_rows: Annotated[int, Field(ge=2)] = 200_000


class LabSettings(Section):
    """Which strategies are compared, on what, for how long, and what counts."""

    mode: Literal["fast", "balanced", "comprehensive", "gpu"] = "balanced"
    budget_s: Seconds | None = None
    strategies: Annotated[tuple[StrategyName, ...], *OnceEach] = (
        *("recursive", "kmeans", "bisecting_kmeans", "gmm", "lda", "pic", "hdbscan", "dbscan"),
    )
    cluster_counts: tuple[Annotated[int, Field(ge=2)], ...] = ()
    pca_dimensions: Positive | None = None
    pca_variance: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    bucketing: Literal["none", "aspect", "cell"] = "none"
    cells: Annotated[int, Field(ge=2, le=1000)] = 8
    encoder_ids: tuple[str, ...] = ()
    sample_rows: Annotated[int, Field(ge=10)] = 20_000
    strata: tuple[Stratum, ...] = ("day", "advertiser", "size")
    targets: Address | None = None
    pairs: Address | None = None
    split: Literal["banner", "day"] = "banner"
    test_share: Annotated[float, Field(ge=0.0, le=0.9)] = 0.2
    rank_by: Literal["stable_silhouette", "silhouette", "composite"] = "stable_silhouette"
    composite: CompositeSettings = CompositeSettings()
    gate: LabGateSettings = LabGateSettings()
    max_cluster_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    smallest_difference: Annotated[float, Field(ge=0.0, le=1.0)] = 0.01
    bootstrap_replicates: Annotated[int, Field(ge=20, le=10_000)] = 200
    top: Positive = 5
    curve_shares: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = (0.1, 0.25, 0.5)
    scatter: Literal["pca", "umap"] = "pca"
    mosaic_clusters: Positive = 500
    seed: Annotated[int, Field(ge=0)] = 7
    out: Address | None = None
    train: LabTrainSettings = LabTrainSettings()

    @model_validator(mode="after")
    def _one_reduction(self) -> LabSettings:
        if self.pca_dimensions is not None and self.pca_variance is not None:
            raise ValueError("lab.pca_dimensions and lab.pca_variance are both set: set one of them, the other to null")
        return self
