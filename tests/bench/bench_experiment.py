"""How often the experiment claims an effect that is not there, and finds one that is, over 100 drawn logs each.

    python tests/bench/bench_experiment.py [seeds]

Prints, per planted effect, how many of the seeds say helps, hurts and can't tell; in how many the 95 % interval holds the planted
difference of log loss, with Wilson's interval of that share; and seconds per seed. Ends with 1 where more than 5 in 100 claim an
effect that is not there.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "experiment"), str(Path(__file__).parents[2] / "src")]

import click_worlds as worlds  # noqa: E402 - tests are found by path

from bannermap.experiment import evaluation as v  # noqa: E402
from bannermap.experiment.verdict import HELPS  # noqa: E402
from bannermap.platform.intervals import wilson_bounds  # noqa: E402
from bannermap.platform.settings import ExperimentSettings  # noqa: E402

SETTINGS = ExperimentSettings(models=("logistic",), bootstrap_replicates=400, min_slice_clicks=10**9)
EFFECTS = (0.0, 0.4, 1.2)
MOST_CLAIMS_PER_100 = 5


def one(seed: int, effect: float) -> tuple[str, bool]:
    """The verdict, and whether the interval holds what was planted."""
    world = worlds.drawn(seed, effect)
    result = v.trained(world.impressions, {v.FEATURES: world.features}, 1, SETTINGS)
    found = v.compared(world.impressions, result, SETTINGS)[0]
    predicted, loss = result.by_model["logistic"], found.differences["log_loss"]
    planted = worlds.expected_difference(world, result.test, predicted[v.BASELINE], predicted[v.FEATURES])
    return found.verdict.word, loss.low <= planted <= loss.high


def main(seeds: int) -> int:
    """Print one line per effect; the exit code."""
    claims = 0
    for effect in EFFECTS:
        began = time.monotonic()
        results = [one(seed, effect) for seed in range(1000, 1000 + seeds)]
        words, inside = Counter(word for word, _ in results), sum(held for _, held in results)
        low, high = wilson_bounds(inside / seeds, seeds)
        said = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
        pace = (time.monotonic() - began) / seeds
        print(f"effect {effect}: {said}; planted in {inside} of {seeds} intervals ({low:.0%} to {high:.0%}); {pace:.2f} s a seed")
        claims = words[HELPS] if effect == 0.0 else claims
    return int(claims > MOST_CLAIMS_PER_100 * seeds / 100)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
