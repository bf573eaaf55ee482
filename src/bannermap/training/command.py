"""The command `train_encoder`: a folder of photos to a checkpoint with its card."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from bannermap.embedding.encoders.backbone import IMAGENET
from bannermap.embedding.encoders.checkpoints import weights_digest
from bannermap.platform.config import settings_json
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.runs import say
from bannermap.platform.settings import Settings, TrainingSettings
from bannermap.training.batches import Pairs, batches, read_photos
from bannermap.training.card import card
from bannermap.training.loop import Progress, Recipe, train
from bannermap.training.network import PooledNetwork, loaded, make_network
from bannermap.training.scenes import FAMILY


def add_options(options: argparse.ArgumentParser) -> None:
    """Which photos, and where the checkpoint goes."""
    options.add_argument("--photos", type=Path, required=True, help="folder of JPEG and PNG photos, searched with its subfolders")
    options.add_argument("--out", type=Path, required=True, help="folder for the checkpoint; must be empty or absent")
    options.add_argument("--start", type=Path, help="checkpoint of the configured shape to go on from")
    options.add_argument("--about", default="", help="one line on the photos, with their licence, for the card")


def run(settings: Settings, arguments: argparse.Namespace) -> None:
    """Train, and write config.json, model.safetensors in half precision, preprocessor_config.json and README.md."""
    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty folder. Give another --out, or empty it: a checkpoint is never overwritten.")
    photos = read_photos(arguments.photos)
    if len(photos) < FAMILY:
        raise InputError(f"{arguments.photos} holds {len(photos)} photos and a batch needs {FAMILY}. Give a folder with more.")
    training, strength = settings.training, settings.encoder.emphasis_strength
    say(f"training on {len(photos)} photos and drawn banners")
    began = time.monotonic()
    network, last = trained(photos, training, strength, arguments.start)
    network.network.half().save_pretrained(out)
    (out / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": IMAGENET[0], "image_std": IMAGENET[1]}, indent=1) + "\n"
    )
    start = f"the checkpoint {weights_digest(arguments.start)[:12]}" if arguments.start else "random weights"
    facts = {"photos": len(photos), "minutes": (time.monotonic() - began) / 60.0, "about": arguments.about, "start": start}
    (out / "README.md").write_text(card(json.loads(settings_json(training)), strength, last, facts))
    say(f"wrote {out} after {facts['minutes']:.0f} minutes; use it with --set encoder.name=dinov2 --set encoder.weights={out}")


def trained(
    photos: list, training: TrainingSettings, emphasis_strength: float, start: Path | None
) -> tuple[PooledNetwork, Progress]:
    """A trained network and where its training ended."""
    torch.set_num_threads(training.threads)
    shape = training.hidden_size, training.layers, training.heads, training.resolution_px
    network = PooledNetwork(loaded(start, *shape) if start else make_network(*shape, training.seed), emphasis_strength)
    shares = training.shares.model_dump()
    pairs = Pairs(photos, training.pairs_per_batch, training.resolution_px, training.steps, training.seed, shares)
    recipe = Recipe(
        steps=training.steps,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        temperature=training.temperature,
        kept_share=training.kept_patch_share,
        full_share=training.full_share,
        max_minutes=training.max_minutes,
    )
    return network, train(network, batches(pairs, training.workers), recipe, _tell)


def _tell(at: Progress) -> None:
    say(f"step {at.step}, {at.share:.0%} of the schedule, loss {at.loss:.3f}, {at.images_per_second:.0f} pictures/s")
