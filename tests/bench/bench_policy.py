"""Threshold policies against labelled pictures; prints a table of every set, encoder and policy, in Markdown.

    python tests/bench/bench_policy.py --data FOLDER [--photos 200] [--cache FOLDER] [--markdown FILE]

FOLDER holds `grocery`, `formats` and `clothing`. Figures are B-cubed; outliers count as clusters of one. Seconds are those of the
clustering after the search for neighbours, which all policies share.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from quality_data import Pictures, drawn_creatives, formats, grocery, photo_renditions

from bannermap.clustering.forest import edges_at_least, spanning_forest
from bannermap.clustering.hierarchy import build_hierarchy, level_thresholds
from bannermap.clustering.in_process import _labels, _level_norms, all_neighbours
from bannermap.clustering.neighbours import NeighbourLists
from bannermap.clustering.recursion import level_figures, refine_all
from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.encoders.interface import Encoder, encode_pictures, make_encoder
from bannermap.platform.config import load_settings
from bannermap.platform.settings import AdaptiveSettings, ClusteringSettings, DecodeSettings
from bannermap.sample.agreement import agreement
from bannermap.sample.lives import draw_campaigns, draw_renditions
from bannermap.sample.plan import SIZES
from bannermap.sample.renditions import rendition_file
from bannermap.sample.truth import campaign_truth, groups_as_of

BASE = Path(__file__).parents[2] / "conf/base.yaml"
ENCODERS = {"bannermap-tiny": "dinov2", "perceptual": "perceptual"}
SEEDS = (77, 4242)
FITTED = ("train", "validation", "seed 77")
"""Of the sets that are not halved, those that parameters were chosen on."""
STARTS = 5
"""First thresholds, each 0.01 above the one before, over which a policy's luck with its grid is averaged."""
ADAPTIVE = {"threshold_policy": "adaptive"}
EVEN_STEPS = {**ADAPTIVE, "min_threshold": 0.75, "adaptive": AdaptiveSettings(min_step=0.05, max_step=0.05)}
POLICIES = {
    "fixed": {},
    "fixed, first": {"split_search": "first"},
    "adaptive": ADAPTIVE,
    "adaptive, first": {**ADAPTIVE, "split_search": "first"},
    "adaptive, even": EVEN_STEPS,
}
"""`even` is adaptive in its reach alone: from the same start as fixed, by the same steps."""


@dataclass(frozen=True)
class Vectors:
    """One set seen by one encoder.

    Attributes:
        name: of the set.
        use: `fitted` where parameters of the adaptive policy were chosen on it, else `held out`.
        matrix: float32 (n, d), unit rows.
        groups: (n,), equal for pictures that belong together.
        is_query: (n,) bool; the others are only there to be mistaken for them.
        lists: neighbours.
    """

    name: str
    use: str
    matrix: np.ndarray
    groups: np.ndarray
    is_query: np.ndarray
    lists: NeighbourLists


def sets(data: Path, settings: DecodeSettings, photos: int) -> dict[str, Callable[[], Pictures]]:
    """How each set is made, by name."""
    clothes = {f"clothes, {part}": data / "clothing" / part for part in ("train", "validation", "test")}
    folders = {**clothes, "groceries": data / "grocery/images"}
    renditions = {
        f"renditions of {name}": partial(photo_renditions, name, path, settings, photos) for name, path in folders.items()
    }
    drawn = {f"drawn creatives, seed {s}": partial(drawn_creatives, settings, s, 60) for s in SEEDS}
    stretched = {f"stretched creatives, seed {s}": partial(stretched_creatives, settings, s, 30) for s in SEEDS}
    real = {"grocery products": partial(grocery, data, settings), "edits of one photo": partial(formats, data, settings)}
    return {**real, **renditions, **drawn, **stretched}


def seen(name: str, make: Callable[[], Pictures], encoder: Encoder, cache: Path | None) -> Iterator[Vectors]:
    """A set's vectors, in two sets of half the groups where there is but one set of its kind."""
    kept = cache / f"{encoder.encoder_id} {name}.npz".replace("/", "-") if cache else None
    if kept and kept.exists():
        stored = np.load(kept)
    else:
        pictures = make()
        matrix = np.ascontiguousarray(encode_pictures(encoder, pictures.pixels), np.float32)
        stored = {"matrix": matrix, "groups": pictures.groups, "is_query": pictures.is_query}
        if kept:
            np.savez(kept, **stored)
    halved = "grocer" in name
    for half in (0, 1) if halved else (0,):
        rows = _half(stored["groups"], half) if halved else slice(None)
        columns = [stored[c][rows] for c in ("matrix", "groups", "is_query")]
        use = "fitted" if (half == 0 if halved else any(word in name for word in FITTED)) else "held out"
        yield Vectors(
            f"{name}, half {half + 1}" if halved else name, use, *columns, all_neighbours(columns[0], ClusteringSettings())
        )


def _half(groups: np.ndarray, half: int) -> np.ndarray:
    _, number = np.unique(groups, return_inverse=True)
    return np.flatnonzero(np.random.default_rng(0).permutation(number.max() + 1)[number] % 2 == half)


def stretched_creatives(settings: DecodeSettings, seed: int, campaigns: int, days: int = 14) -> Pictures:
    """Banners of campaigns whose creatives change or merge, by their groups of the last day: the loosest groups there are."""
    drawn = [c for c in draw_campaigns(SIZES["small"], days, seed) if c.event != "none" and c.start_day == 0][:campaigns]
    shown = draw_renditions(drawn, SIZES["small"], days, seed)
    pixels = [decode(rendition_file(r, seed)[0], settings).pixels for r in shown]
    groups = groups_as_of(pd.Series([r.creative.number for r in shown]), campaign_truth(drawn, days), days - 1).to_numpy()
    return Pictures("stretched creatives", pixels, groups, np.ones(len(groups), bool))


def clustered(vectors: Vectors, settings: ClusteringSettings) -> np.ndarray:
    """int64 (n,) labels, -1 for outliers; what `cluster_vectors` does after its search."""
    src, dst, cosine, rows = vectors.lists.src, vectors.lists.dst, vectors.lists.cosine, len(vectors.matrix)
    forest = spanning_forest(edges_at_least(src, dst, cosine, settings.first_threshold))
    hierarchy = build_hierarchy(rows, forest, level_thresholds(settings))
    figures = level_figures(hierarchy, np.ones(rows, np.int64), _level_norms(vectors.matrix, hierarchy))
    return _labels(refine_all(figures, rows, settings), hierarchy)[0]


def measured(vectors: Vectors, changes: dict) -> dict[str, float]:
    """All figures of one policy on one set; `f1_starts` is the mean over `STARTS` first thresholds."""
    settings, queries = ClusteringSettings(**changes), vectors.is_query
    began = time.monotonic()
    labels = clustered(vectors, settings)
    seconds = time.monotonic() - began
    found = agreement(labels[queries], vectors.groups[queries])
    return {
        "f1": found.b_cubed_f1,
        "f1_starts": float(np.mean([moved_f1(vectors, settings, start * 0.01) for start in range(STARTS)])),
        "precision": found.b_cubed_precision,
        "recall": found.b_cubed_recall,
        "clusters": int(labels.max() + 1),
        "outliers": int((labels < 0).sum()),
        "seconds": seconds,
    }


def moved_f1(vectors: Vectors, settings: ClusteringSettings, by: float) -> float:
    """B-cubed F1 with the first threshold moved up."""
    name = "initial_threshold" if settings.threshold_policy == "fixed" else "min_threshold"
    labels = clustered(vectors, settings.model_copy(update={name: settings.first_threshold + by}))
    queries = vectors.is_query
    return agreement(labels[queries], vectors.groups[queries]).b_cubed_f1


def markdown(table: list[dict]) -> str:
    """One row per set and encoder with a cell per policy, and the comparison of each policy with fixed."""
    lines = [f"| F1 (precision / recall), clusters + outliers, seconds | {' | '.join(POLICIES)} |"]
    lines.append("|---" * (len(POLICIES) + 1) + "|")
    for vectors in dict.fromkeys((r["set"], r["use"], r["encoder"]) for r in table):
        rows = [r for r in table if (r["set"], r["use"], r["encoder"]) == vectors]
        lines.append(f"| {vectors[0]} ({vectors[1]}), {vectors[2]} | {' | '.join(map(cell, rows))} |")
    return "\n".join([*lines, "", *against_fixed(table), ""])


def cell(row: dict) -> str:
    """The figures of one policy on one set."""
    shares = f"{row['f1']:.3f} ({row['precision']:.3f} / {row['recall']:.3f})"
    return f"{shares}, {row['clusters']} + {row['outliers']}, {row['seconds']:.2f}"


def against_fixed(table: list[dict]) -> list[str]:
    """Differences of F1 to fixed: mean, worst and best, and how many sets gain and lose more than 0.0005."""
    head = "| Policy | Sets | F1 less that of fixed: mean | worst | best | gain | lose | mean of starts: mean | worst | best |"
    lines = [head, "|---" * head.count(" | ") + "|---|"]
    of = {(r["set"], r["use"], r["encoder"], r["policy"]): r for r in table}
    for policy in POLICIES:
        for use in ("fitted", "held out"):
            pairs = [(r, of[(*key[:3], "fixed")]) for key, r in of.items() if key[1] == use and key[3] == policy]
            plain, starts = (np.array([r[k] - f[k] for r, f in pairs]) for k in ("f1", "f1_starts"))
            counts = f"{(plain > 0.0005).sum()} | {(plain < -0.0005).sum()}"
            spread = [f"{d.mean():+.4f} | {d.min():+.4f} | {d.max():+.4f}" for d in (plain, starts)]
            lines.append(f"| {policy} | {len(pairs)} {use} | {spread[0]} | {counts} | {spread[1]} |")
    return lines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--photos", type=int, default=200, help="photos of each rendition set")
    options.add_argument("--cache", type=Path, help="folder that keeps the vectors for a further run")
    options.add_argument("--markdown", type=Path)
    given = options.parse_args()
    settings = load_settings(BASE)
    table = []
    for name, make in sets(given.data, settings.decode, given.photos).items():
        for label, kind in ENCODERS.items():
            encoder = make_encoder(settings.encoder.model_copy(update={"name": kind, "precision": "fp32"}))
            for vectors in seen(name, make, encoder, given.cache):
                clustered(vectors, ClusteringSettings())  # compiles what later would be timed
                for policy, changes in POLICIES.items():
                    head = {"set": vectors.name, "use": vectors.use, "encoder": label, "policy": policy}
                    table.append({**head, **measured(vectors, changes)})
                    print(*(f"{v:.3f}" if isinstance(v, float) else v for v in table[-1].values()), flush=True)
    print(markdown(table))
    if given.markdown:
        given.markdown.write_text(markdown(table))


if __name__ == "__main__":
    main()
