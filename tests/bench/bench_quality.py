"""How well encoders find what belongs together, on pictures that none was trained on; prints one table, and JSON with --json.

    python tests/bench/bench_quality.py --data FOLDER [--weights FOLDER ...] [--json FILE]

FOLDER holds `grocery`, `formats` and `clothing`. Recall@1 and mAP are leave-one-out over cosines; F1 is B-cubed of the clustering
with its default thresholds. Random pairs are of different groups.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from quality_data import Pictures, all_sets

from bannermap.clustering import cluster_vectors
from bannermap.embedding.decoding.views import View, content
from bannermap.embedding.encoders.interface import Encoded, Encoder, encode_pictures, make_encoder
from bannermap.platform.config import load_settings
from bannermap.platform.settings import Settings
from bannermap.sample.agreement import agreement

BASE = Path(__file__).parents[2] / "conf/base.yaml"
PRINTED = ("recall_at_1", "map", "f1", "stranger_mean", "stranger_p99", "pass_0.75")
THRESHOLDS = (0.75, 0.80, 0.85, 0.90, 0.95)


class ColourHistogram:
    """The baseline that any encoder has to beat: 512 colours, how much of the picture has each."""

    encoder_id = "colour histogram"

    def prepare(self, pixels: np.ndarray) -> View:
        return content(pixels, trim_borders=True)

    def encode(self, inputs: list[View]) -> Encoded:
        bins = [(i.pixels.reshape(-1, 3).astype(int) // 32) @ (64, 8, 1) for i in inputs]
        rows = np.sqrt(np.stack([np.bincount(b, minlength=512) / len(b) for b in bins]))
        return Encoded(rows.astype(np.float32))


def measured(encoder: Encoder, pictures: Pictures) -> dict[str, float]:
    """All figures of one encoder on one set."""
    began = time.monotonic()
    vectors = encode_pictures(encoder, pictures.pixels)
    seconds = time.monotonic() - began
    cosines = vectors.astype(np.float64) @ vectors.T
    same = pictures.groups[:, None] == pictures.groups[None, :]
    strangers = cosines[~same]
    labels = cluster_vectors(vectors)
    queries = pictures.is_query
    return {
        **retrieval(cosines, same, queries),
        "f1": agreement(labels[queries], pictures.groups[queries]).b_cubed_f1,
        "stranger_mean": float(strangers.mean()),
        "stranger_p99": float(np.percentile(strangers, 99)),
        **{f"pass_{t:.2f}": float((strangers >= t).mean()) for t in THRESHOLDS},
        "images_per_s": len(vectors) / seconds,
    }


def retrieval(cosines: np.ndarray, same: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    """Leave-one-out recall@1 and mean average precision of the queries that have a partner."""
    first, precisions = [], []
    for q in np.flatnonzero(queries & (same.sum(axis=1) > 1)):
        order = np.argsort(-cosines[q], kind="stable")
        hits = same[q, order[order != q]]
        first.append(hits[0])
        ranks = np.flatnonzero(hits) + 1
        precisions.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    return {"recall_at_1": float(np.mean(first)), "map": float(np.mean(precisions))}


def encoders(settings: Settings, weights: list[str], everything: bool) -> Iterator[tuple[str, Encoder]]:
    """The encoders to compare: name and encoder."""
    base = settings.encoder.model_copy(update={"precision": "fp32"})
    yield "colour histogram", ColourHistogram()
    yield "perceptual", make_encoder(base.model_copy(update={"name": "perceptual"}))
    for folder in weights or [None]:
        name = Path(folder).name if folder else "bannermap-tiny"
        for mode in ("resize", "letterbox", "grid", "center_crop") if everything else ("resize",):
            for strength in (0.0, 2.0, 4.0) if everything and mode == "resize" else (base.emphasis_strength,):
                given = {
                    "name": "dinov2",
                    "weights": folder,
                    "resize_mode": mode,
                    "emphasis_strength": strength,
                    "precision": "fp32",
                }
                yield f"{name} {mode} e{strength:g}", make_encoder(base.model_copy(update=given))


def markdown(table: list[dict]) -> str:
    """The table for docs/encoders.md: one row per encoder, one column per set."""
    sets = list(dict.fromkeys(row["set"] for row in table))
    lines = [f"| recall@1 / mAP / F1 | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    strangers = [f"| strangers: mean, 99 %, share over 0.75 | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for name in dict.fromkeys(row["encoder"] for row in table):
        of = {row["set"]: row for row in table if row["encoder"] == name}
        found = (f"{of[s]['recall_at_1']:.3f} / {of[s]['map']:.3f} / {of[s]['f1']:.3f}" for s in sets)
        apart = (f"{of[s]['stranger_mean']:.2f}, {of[s]['stranger_p99']:.2f}, {of[s]['pass_0.75']:.1%}" for s in sets)
        lines.append(f"| {name} | {' | '.join(found)} |")
        strangers.append(f"| {name} | {' | '.join(apart)} |")
    return "\n".join([*lines, "", *strangers, ""])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--weights", nargs="*", default=[], help="folders of DINOv2 checkpoints; without, the shipped one")
    options.add_argument("--photos", type=int, default=200, help="photos of each rendition set")
    options.add_argument("--quick", action="store_true", help="one resize mode and one emphasis only")
    options.add_argument("--json", type=Path)
    options.add_argument("--markdown", type=Path)
    given = options.parse_args()
    settings = load_settings(BASE)
    table = []
    for name, encoder in encoders(settings, given.weights, not given.quick):
        for pictures in all_sets(given.data, settings.decode, given.photos):
            row = {"encoder": name, "encoder_id": encoder.encoder_id, "set": pictures.name, "pictures": len(pictures.pixels)}
            row |= measured(encoder, pictures)
            table.append(row)
            figures = " ".join(
                f"{row[k]:6.3f}" for k in ("recall_at_1", "map", "f1", "stranger_mean", "stranger_p99", "pass_0.75")
            )
            print(f"{name:32} {pictures.name:24} {figures} {row['images_per_s']:7.0f}/s", flush=True)
    if given.markdown:
        given.markdown.write_text(markdown(table))
    if given.json:
        given.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
