"""What a comparison works on, what becomes of each configuration in it, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bannermap.lab.budget import Budget
from bannermap.lab.fitting import Configuration, Fit, fit
from bannermap.lab.gates import AgainstPermuted
from bannermap.lab.models import Sizes
from bannermap.lab.recommending import Recommendation
from bannermap.lab.sizes import Weights
from bannermap.lab.strategies import Tools
from bannermap.platform.settings import LabSettings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What became of a configuration.

    Attributes:
        configuration: which.
        status: ranked, gated (a gate refused it), dropped (others were better), failed, or untried (no time).
        reason: in words, where it is not ranked.
        rows: of its last fit, 0 without one.
        seconds: of that fit.
        measured_s: seconds of its silhouettes, which those of permuted labels take again.
        found: that fit, where it was on all rows.
        silhouettes: float64 (n,), of all rows where it was on all.
        score: by the configured score; without stability until that is known. nan without a fit.
        permuted: against permuted labels; None where it did not come to that.
        stability: see `gates.bootstrap_stability`; empty where it did not come to that.
    """

    configuration: Configuration
    status: str = "untried"
    reason: str = ""
    rows: int = 0
    seconds: float = 0.0
    measured_s: float = 0.0
    found: Fit | None = None
    silhouettes: np.ndarray = field(default_factory=lambda: np.empty(0))
    score: float = float("nan")
    permuted: AgainstPermuted | None = None
    stability: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def name(self) -> str:
        """Of its configuration."""
        return self.configuration.name


@dataclass(frozen=True)
class Outcome:
    """All trials, ranked ones first and best first; the recommendation; seconds in all; what was left out for want of
    time."""

    trials: tuple[Trial, ...]
    recommendation: Recommendation
    seconds: float
    budget_s: float
    left_out: frozenset[str]

    @property
    def budget_bound(self) -> bool:
        """Whether the budget cut anything off."""
        return bool(self.left_out)

    @property
    def overrun_s(self) -> float:
        """Seconds over the budget; 0 where it was kept."""
        return max(0.0, self.seconds - self.budget_s)

    @property
    def ranked(self) -> list[Trial]:
        """Best first."""
        return [t for t in self.trials if t.status == "ranked"]


@dataclass(frozen=True)
class Comparing:
    """Everything that a comparison works on.

    Attributes:
        vectors: float32 (n, d), unit rows.
        sizes: of the pictures.
        settings: of the lab.
        tools: what strategies work with.
        budget: the time.
        say: tells a person how far it is.
    """

    vectors: np.ndarray
    sizes: Sizes
    settings: LabSettings
    tools: Tools
    budget: Budget
    say: Say = print

    @property
    def weights(self) -> Weights:
        """Of the composite."""
        return Weights(**self.settings.composite.model_dump())

    def fit(self, configuration: Configuration, rows: np.ndarray, seed: int) -> Fit:
        """A configuration on some rows."""
        return fit(self.vectors[rows], configuration, seed, self.tools, self.sizes.of(rows))


def by_score(trial: Trial) -> tuple[float, str]:
    """For sorting: the best first, those without a score last."""
    return (-trial.score if np.isfinite(trial.score) else np.inf, trial.name)
