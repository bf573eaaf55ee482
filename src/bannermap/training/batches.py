"""Batches of pairs of views; batch number n follows from the seed and n alone, whoever draws it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bannermap.training.scenes import FAMILY, Thing, banner_family, package_family, photo_banner_family, photo_things

PHOTO_PX = 256
"""Side of the square that photos are shrunk into when they are read: all of them stay in memory."""


def read_photos(folder: Path) -> list[Image.Image]:
    """Every JPEG and PNG below a folder, shrunk, in the order of their names."""
    names = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [_shrunk(name) for name in names]


def _shrunk(name: Path) -> Image.Image:
    image = Image.open(name, formats=["JPEG", "PNG"])
    image.draft("RGB", (PHOTO_PX, PHOTO_PX))
    photo = image.convert("RGB")
    photo.thumbnail((PHOTO_PX, PHOTO_PX), Image.Resampling.BICUBIC)
    return photo


class Pairs(Dataset):
    """Batch n: uint8 (2, things, side, side, 3), two views of each thing; look-alikes follow each other.

    Args:
        photos: at least 4.
        things: per batch, a multiple of 4.
        side_px: of a view.
        steps: number of batches.
        seed: everything follows from it.
        shares: of the families of a batch: ``banners``, ``photos``, ``photo_banners`` and ``packages``, 1 in all.
    """

    def __init__(
        self, photos: Sequence[Image.Image], things: int, side_px: int, steps: int, seed: int, shares: Mapping[str, float]
    ) -> None:
        self.photos, self.things, self.side_px, self.steps, self.seed = photos, things, side_px, steps, seed
        self.shares = dict(shares)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, number])
        things = list(itertools.chain.from_iterable(self._families(rng)))
        views = [[thing(rng) for thing in things] for _ in range(2)]
        return torch.from_numpy(np.array(views))

    def _families(self, rng: np.random.Generator) -> Iterator[list[Thing]]:
        makers: dict[str, Callable[[], list[Thing]]] = {
            "banners": lambda: banner_family(self.side_px, rng),
            "photos": lambda: photo_things(self.photos, self.side_px, rng),
            "photo_banners": lambda: photo_banner_family(self.photos, self.side_px, rng),
            "packages": lambda: package_family(self.photos, self.side_px, rng),
        }
        ends = np.round(np.cumsum([self.shares[name] for name in makers]) * (self.things // FAMILY)).astype(int)
        for name, count in zip(makers, np.diff(ends, prepend=0), strict=True):
            for _ in range(count):
                yield makers[name]()


def batches(pairs: Pairs, workers: int) -> DataLoader:
    """The batches in order, drawn ahead by worker processes."""
    return DataLoader(pairs, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
