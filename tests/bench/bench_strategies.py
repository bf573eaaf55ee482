"""The strategy lab against known truth; prints tables in Markdown, and writes them with --out.

    python tests/bench/bench_strategies.py planted [--sets 60] [--rows 1000]   # skewed sizes, noise; chance among the candidates
    python tests/bench/bench_strategies.py pictures --data FOLDER              # products, clothes and drawn creatives
    python tests/bench/bench_strategies.py dense [--rows 4000]                 # 80 % of all in one dense theme; a chart of sizes
    python tests/bench/bench_strategies.py large [--rows 50000] [--twice]      # is the budget kept, is the outcome the same?

FOLDER holds `grocery` and `clothing`. Each takes --mode, --strategies (comma between) and --budget (seconds) and --set
of any setting.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from planted import planted
from quality_data import drawn_creatives, grocery, photo_renditions

from bannermap.clustering.lending import cluster_with_thresholds, neighbour_ends
from bannermap.embedding.encoders.interface import encode_pictures, make_encoder
from bannermap.lab.comparing import Compared, compare
from bannermap.lab.data import Pictures
from bannermap.lab.figures import choices
from bannermap.lab.fitting import Configuration
from bannermap.lab.strategies import STRATEGIES, Fitted, Strategy, Tools
from bannermap.lab.trials import Trial
from bannermap.platform.config import load_settings
from bannermap.platform.memory import jvm_process, peak_memory
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.sample.agreement import agreement

BASE = Path(__file__).parents[2] / "conf/base.yaml"
ZIPF, NOISE = (0.0, 0.5, 1.0, 1.5), (0.0, 0.1, 0.2, 0.3)
CHANCE = "chance"
NEAR = 0.02
"""Adjusted Rand index within which a choice counts as the best."""
PHOTOS = 150
SIZES = (0.5, 0.75, 1.0)
"""Of a planted set, as a share of --rows; sets take turns."""


def pictures_of(vectors: np.ndarray, truth: np.ndarray) -> Pictures:
    """Vectors with a truth, first seen on five days in turn; those of the last one are held out."""
    n = len(vectors)
    zero = np.zeros(n, np.int64)
    names, classes = np.array([f"{i:07d}" for i in range(n)], object), np.array([str(t) for t in truth], object)
    return Pictures(names, vectors, np.full(n, "", object), 20_000 + np.arange(n) % 5, zero, zero, classes)


def alone(group: np.ndarray) -> np.ndarray:
    """Noise, -1, as classes of one."""
    return np.array([f"group {g}" if g >= 0 else f"noise {i}" for i, g in enumerate(group)], object)


def skewed(number: int, rows: int, dimensions: int = 64) -> Pictures:
    """Round groups whose sizes fall as rank^-zipf, among noise."""
    rng = np.random.default_rng([77, number])
    groups, spread = int(rng.integers(5, 40)), rng.uniform(0.25, 0.6)
    share = np.arange(1, groups + 1.0) ** -ZIPF[number % len(ZIPF)]
    group = rng.choice(groups, rows, p=share / share.sum())
    group[rng.random(rows) < NOISE[number // len(ZIPF) % len(NOISE)]] = -1
    centres, away = rng.normal(size=(groups, dimensions)), rng.normal(size=(rows, dimensions))
    points = np.where((group >= 0)[:, None], centres[group] + spread * away, away)
    return pictures_of((points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), alone(group))


def dense_theme(rows: int, dimensions: int = 64) -> Pictures:
    """Four fifths of all rows in groups round one centre, the others in small groups far apart."""
    rng = np.random.default_rng(5)
    inner, outer = rows // 100, rows // 40
    near = rng.normal(size=dimensions) + 0.45 * rng.normal(size=(inner, dimensions))
    centres = np.concatenate([near, rng.normal(size=(outer, dimensions))])
    group = np.where(rng.random(rows) < 0.8, rng.integers(0, inner, rows), inner + rng.integers(0, outer, rows))
    points = centres[group] + 0.15 * rng.normal(size=(rows, dimensions))
    return pictures_of((points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), alone(group))


def real(data: Path, settings: Settings, encoders: Sequence[str], cache: Path | None) -> dict[str, Pictures]:
    """Labelled pictures by some encoders: photos of products, renditions of photos of clothes, drawn creatives.

    Args:
        data: folder of the photos.
        settings: of decoding and encoders.
        encoders: names.
        cache: folder where vectors are kept for another run; None to keep none.
    """
    made = {
        "grocery": lambda: grocery(data, settings.decode),
        "clothing": lambda: photo_renditions("clothes", data / "clothing" / "test", settings.decode, PHOTOS),
        "sample world": lambda: drawn_creatives(settings.decode, 77, 60),
    }
    result = {}
    for encoder in (make_encoder(settings.encoder.model_copy(update={"name": n})) for n in encoders):
        for name, load in made.items():
            file = cache / f"{name} {encoder.encoder_id[:60]}.npz".replace("/", "_") if cache else None
            if file is None or not file.is_file():
                found = load()
                vectors, groups = encode_pictures(encoder, found.pixels), found.groups.astype(str)
                if file:
                    np.savez(file, vectors=vectors, groups=groups)
            else:
                vectors, groups = (np.load(file)[key] for key in ("vectors", "groups"))
            shuffled = np.random.default_rng(1).permutation(len(vectors))  # else every group would miss the same day
            rows = np.ascontiguousarray(vectors[shuffled], np.float32)
            result[f"{name}, {encoder.encoder_id.split('-')[0]}"] = pictures_of(rows, groups[shuffled])
    return result


def chance(vectors: np.ndarray, parameters: dict, seed: int, tools: Tools) -> Fitted:
    """Labels that follow from nothing; every comparison has to see through them."""

    class Drawn:
        kind, about = CHANCE, CHANCE

        def predict(self, asked: np.ndarray) -> np.ndarray:
            return np.random.default_rng(seed).integers(0, parameters["clusters"], len(asked))

    return Fitted(Drawn().predict(vectors), Drawn())


def with_chance() -> None:
    """Have `chance` among the strategies, and in every comparison."""
    import bannermap.lab.comparing as comparing
    import bannermap.lab.fitting as fitting
    import bannermap.lab.search as search

    own = {**STRATEGIES, CHANCE: Strategy(CHANCE, "", chance)}
    fitting.STRATEGIES = search.STRATEGIES = own  # type: ignore[assignment]
    usual = comparing.configurations
    drawn = [Configuration(CHANCE, {"clusters": k}) for k in (2, 5, 20)]
    comparing.configurations = lambda vectors, settings: [*drawn, *usual(vectors, settings)]


def right_group(labels: np.ndarray, hidden: np.ndarray, truth: np.ndarray) -> float:
    """Share of the held-out rows whose cluster is mostly of their own class among the fitted rows; those in none are wrong.

    Rows whose class was never fitted are left out: no cluster could be right.
    """
    inside = ~hidden & (labels >= 0)
    pairs, counts = np.unique(np.stack([labels[inside], truth[inside].astype(str)]), axis=1, return_counts=True)
    most = {c: t for (c, t), _ in sorted(zip(pairs.T.tolist(), counts, strict=True), key=lambda p: p[1])}
    known = np.flatnonzero(hidden & np.isin(truth.astype(str), np.unique(truth[~hidden].astype(str))))
    return float(np.mean([most.get(str(labels[i])) == truth[i] for i in known])) if len(known) else float("nan")


def best_of(done: Compared) -> float:
    """The best ARI of anything that was fitted on all rows."""
    return max(f["truth_ari"] for f in done.figures.values())


def row_of(name: str, trial: Trial, done: Compared, seconds: float, mb: float) -> str:
    """One configuration as a row of the table."""
    figures, hidden = done.figures[trial.name], done.hidden
    found = agreement(done.labels[trial.name][~hidden], done.pictures.truth[~hidden].astype(str))
    measures = " | ".join(f"{figures[m]:.3f}" for m in ("truth_ari", "silhouette", "composite", "largest_share", "outlier_share"))
    stability = f"{trial.stability.mean():.2f}" if len(trial.stability) else ""
    later = right_group(done.labels[trial.name], hidden, done.pictures.truth)
    cells = f"{found.b_cubed_f1:.3f} | {later:.3f} | {measures} | {int(figures['clusters'])} | {stability} | {trial.status}"
    return f"| {name} | {trial.name} | {cells} | {trial.seconds:.1f} | {seconds:.0f} | {mb:.0f} |"


HEAD = (
    "| Set | Configuration | B-cubed F1 | Later day right | ARI | Silhouette | Composite | Largest | Outliers | Clusters | "
    "Stability | Status | Seconds | Seconds in all | MB in all |"
)


def best_of_each(name: str, done: Compared, seconds: float, mb: float) -> list[str]:
    """The best of each strategy by score, and what each measure would have chosen and lost."""
    fitted = [t for t in done.outcome.trials if t.found]
    firsts = {t.configuration.strategy: t for t in reversed(fitted)}
    lines = [
        row_of(name, t, done, seconds, mb) for t in sorted(firsts.values(), key=lambda t: -done.figures[t.name]["truth_ari"])
    ]
    chosen, best = done.outcome.recommendation, best_of(done)
    lines.append(f"\nChosen: {chosen.chosen}. {chosen.reason}\n")
    lost = {m: best - done.figures[c]["truth_ari"] for m, c in choices(list(done.figures.items())).items()}
    lines.append(
        "ARI lost by choosing by: " + ", ".join(f"{m} {v:.3f}" for m, v in sorted(lost.items(), key=lambda x: x[1])) + "\n"
    )
    return lines


def note_predictions(done: Compared, again: dict[str, list[float]]) -> None:
    """Per strategy, of each fit the share of its own rows that its model gives the same label again."""
    train = done.pictures.of(np.flatnonzero(~done.hidden))
    for trial in done.outcome.trials:
        if trial.found and trial.configuration.strategy != CHANCE:
            same = trial.found.model.predict(train.vectors, train.sizes) == trial.found.labels
            again.setdefault(trial.configuration.strategy, []).append(float(same.mean()))


def prediction_table(again: dict[str, list[float]]) -> list[str]:
    """Of each strategy: fits, and how many of their own rows they predict as they were fitted."""
    lines = ["| Strategy | Fits | Rows predicted as fitted, mean | The worst fit |", "|---|---|---|---|"]
    return lines + [f"| {n} | {len(v)} | {np.mean(v):.5f} | {min(v):.5f} |" for n, v in sorted(again.items())]


def run_planted(given: argparse.Namespace, settings: Settings, tools: Tools) -> list[str]:
    """Share of sets whose choice is near the best, and whether chance was ever ranked."""
    with_chance()
    lines, near, ranked, lost = ["| Set | Chosen | ARI | Best | ARI of it |", "|---|---|---|---|---|"], 0, 0, {}
    again: dict[str, list[float]] = {}
    untried = 0
    for number in range(given.first, given.first + given.sets):
        rows = int(given.rows * SIZES[number % len(SIZES)])
        done = compare("planted", skewed(number, rows), None, settings.lab, tools, 1.0, lambda text: None)
        untried += done.outcome.budget_bound
        note_predictions(done, again)
        chosen, best = done.outcome.recommendation.chosen, max(done.figures, key=lambda n: done.figures[n]["truth_ari"])
        own = done.figures[chosen]["truth_ari"] if chosen else float("-inf")
        near += own >= best_of(done) - NEAR
        ranked += any(t.configuration.strategy == CHANCE for t in done.outcome.ranked)
        for measure, name in choices(list(done.figures.items())).items():
            lost.setdefault(measure, []).append(best_of(done) - done.figures[name]["truth_ari"])
        lines.append(f"| {number} | {chosen} | {own:.3f} | {best} | {best_of(done):.3f} |")
        print(lines[-1], f"near {near} of {number + 1 - given.first}, {done.outcome.seconds:.0f} s", flush=True)
    lines += [
        "",
        f"Within {NEAR} of the best: {near} of {given.sets}. Random labels ranked: {ranked} of {given.sets}. "
        f"Sets whose budget bound: {untried}.",
        "",
        *prediction_table(again),
        "",
    ]
    lines += ["| Chosen by | Mean ARI lost | Within 0.02 |", "|---|---|---|"]
    rows = sorted(lost.items(), key=lambda item: float(np.mean(item[1])))
    return lines + [f"| {m} | {np.mean(v):.3f} | {np.mean(np.array(v) <= NEAR):.0%} |" for m, v in rows]


def run_sets(
    sets: dict[str, Pictures], settings: Settings, tools: Tools, earlier: frozenset[str] | None = None
) -> tuple[list[str], list[Compared]]:
    """One table over sets; ``earlier`` as in `compare`."""
    lines, all_done = [HEAD, "|---" * (HEAD.count("|") - 1) + "|"], []
    for name, pictures in sets.items():
        began, own = time.monotonic(), [os.getpid(), *([jvm_process(tools.spark)] if tools.spark else [])]
        with peak_memory(own) as peak:
            done = compare(name, pictures, None, settings.lab, tools, 1.0, lambda text: print(text, flush=True), None, earlier)
        lines += best_of_each(name, done, time.monotonic() - began, peak.mb)
        all_done.append(done)
    return lines, all_done


def run_large(given: argparse.Namespace, settings: Settings, tools: Tools) -> list[str]:
    """Seconds against the budget; with --twice, whether the comparison repeated gave the same labels."""
    world = planted(given.rows, given.dimensions, 3)
    vectors = np.concatenate([world.rows(low, min(low + 20_000, given.rows)) for low in range(0, given.rows, 20_000)])
    pictures = pictures_of(vectors, alone(world.group_of))
    lines, first = run_sets({f"{given.rows} x {given.dimensions}": pictures}, settings, tools)
    spent, budget = first[0].outcome.seconds, first[0].outcome.budget_s
    lines.append(f"Over the budget: {first[0].outcome.overrun_s:.0f} s.")
    untried = [t.name for t in first[0].outcome.trials if t.status == "untried"]
    lines.append(
        f"{spent:.0f} s of {budget:.0f} s for fits and gates; not tried for want of time: {', '.join(untried) or 'nothing'}."
    )
    if given.twice:
        again = run_sets({"again": pictures}, settings, tools, first[0].left_out)[1][0]
        same = [n for n, labels in first[0].labels.items() if n in again.labels and (labels == again.labels[n]).all()]
        lines.append(f"Again, leaving out the same {len(first[0].left_out)} and {len(again.left_out - first[0].left_out)} more: "
                     f"{len(same)} of {len(first[0].labels)} labellings equal, of {len(again.labels)}; the same choice: "
                     f"{again.outcome.recommendation.chosen == first[0].outcome.recommendation.chosen}; "
                     f"{again.seconds:.0f} s after {first[0].seconds:.0f} s of {again.budget_s:.0f} s.")  # fmt: skip
    return lines


def draw_sizes(done: Compared, path: Path) -> None:
    """A picture: share of pictures in the largest clusters of each strategy."""
    import altair as alt
    import pandas as pd

    rows = []
    firsts = {t.configuration.strategy: t for t in reversed([t for t in done.outcome.trials if t.found])}
    for strategy, trial in firsts.items():
        labels = trial.found.labels if trial.found else np.empty(0, np.int64)
        sizes = np.sort(np.bincount(labels[labels >= 0]))[::-1][:40] / len(labels)
        rows += [{"strategy": strategy, "rank": rank, "share": share} for rank, share in enumerate(sizes, 1)]
    chart = alt.Chart(pd.DataFrame(rows)).mark_bar().encode(x="rank:O", y="share:Q", row="strategy:N")
    chart.properties(width=600, height=60).save(str(path))


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=["planted", "pictures", "dense", "large"])
    options.add_argument("--data", type=Path)
    options.add_argument("--encoders", default="dinov2,perceptual", help="of pictures")
    options.add_argument("--vectors", type=Path, help="folder that keeps the vectors of pictures")
    options.add_argument("--sets", type=int, default=60)
    options.add_argument("--first", type=int, default=0, help="number of the first planted set")
    options.add_argument("--rows", type=int)
    options.add_argument("--dimensions", type=int, default=384)
    options.add_argument("--mode", default="balanced")
    options.add_argument("--strategies", default=",".join(STRATEGIES))
    options.add_argument("--budget", type=float)
    options.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    options.add_argument("--twice", action="store_true")
    options.add_argument("--device", help="of torch, for kmeans without Spark: cpu or cuda")
    options.add_argument("--out", type=Path)
    given = options.parse_args(argv)
    given.rows = given.rows or {"planted": 1000, "dense": 4000, "large": 50_000}.get(given.what)
    return given


def main() -> None:
    given = arguments()
    asked = [f"lab.mode={given.mode}", f"lab.strategies=[{given.strategies}]", "lab.sample_rows=1000000", "lab.split=day"]
    asked += [f"lab.budget_s={given.budget}"] if given.budget else []
    settings = load_settings(BASE, [], asked + given.overrides)
    needs_spark = {"kmeans", "bisecting_kmeans", "gmm", "lda", "pic"} & set(given.strategies.split(","))
    needs_spark -= {"kmeans"} if given.device else set()
    spark = build_session(settings.spark) if needs_spark else None
    tools = replace(Tools(cluster_with_thresholds, neighbour_ends, settings.clustering), spark=spark, device=given.device)
    if given.what == "planted":
        lines = run_planted(given, settings, tools)
    elif given.what == "large":
        lines = run_large(given, settings, tools)
    elif given.what == "dense":
        lines, done = run_sets({"dense theme": dense_theme(given.rows)}, settings, tools)
        draw_sizes(done[0], (given.out or Path("dense.md")).with_suffix(".svg"))
    else:
        lines, _ = run_sets(real(given.data, settings, given.encoders.split(","), given.vectors), settings, tools)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
