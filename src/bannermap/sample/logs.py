"""The banner log: which banners are served on which days, with the defects that real logs have."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bannermap.sample.lives import Rendition

FIRST_DAY = datetime.date(2026, 3, 1)
DEFECTS = ("none", "corrupt", "missing", "mistyped", "without_id", "same_pixels", "conflict")
DEFECT_SHARES = (0.90, 0.015, 0.015, 0.015, 0.02, 0.015, 0.02)


@dataclass(frozen=True)
class Banner:
    """A banner as the ad server knows it.

    Attributes:
        rendition: what it shows.
        banner_id: sha256 of its file; for a banner without an id, the one that the pipeline must give it.
        logged_id: what the log says; null for a banner without an id.
        image_url: address below the images folder.
        defect: one of `DEFECTS`.
        days: numbers of the world's days on which it is served.
        twin_id: a second id under which the same file is served, or null.
    """

    rendition: Rendition
    banner_id: str
    logged_id: str | None
    image_url: str
    defect: str
    days: tuple[int, ...]
    twin_id: str | None

    @property
    def is_stored(self) -> bool:
        """Whether anything lies at its address."""
        return self.defect != "missing"

    @property
    def has_picture(self) -> bool:
        """Whether its file can be decoded."""
        return self.defect not in ("corrupt", "missing", "mistyped")


def draw_banner_plan(rendition: Rendition, file: bytes, ending: str, days: int, seed: int) -> Banner:
    """Days, address and defect of a banner.

    Args:
        rendition: what it shows.
        file: its bytes.
        ending: of the file's name.
        days: days of the world.
        seed: of the world.
    """
    rng = np.random.default_rng([seed, 4, rendition.creative.number, rendition.variant])
    defect = str(rng.choice(DEFECTS, p=DEFECT_SHARES))
    served = range(rendition.first_day, min(rendition.first_day + rendition.days, days))
    url = f"{image_folder(rendition.creative.number)}/v{rendition.variant:03d}.{ending}"
    own = hashlib.sha256(file).hexdigest()
    twin = hashlib.sha256(file + b"served twice").hexdigest() if defect == "same_pixels" else None
    banner_id = "url:" + hashlib.sha256(url.encode()).hexdigest() if defect == "without_id" else own
    logged = None if defect == "without_id" else own
    return Banner(rendition, banner_id, logged, url, defect, tuple(served), twin)


def image_folder(creative: int) -> str:
    """Folder of a creative's images, below the images folder."""
    return f"c{creative:05d}"


def stored_file(banner: Banner, file: bytes) -> bytes | None:
    """What lies at the banner's address: its file, a broken one, a web page, or nothing."""
    damaged = {"corrupt": file[: len(file) // 2], "mistyped": b"<!doctype html><title>Gone</title>", "missing": None}
    return damaged.get(banner.defect, file)


def banner_log_day(banners: list[Banner], day: int, seed: int) -> pd.DataFrame:
    """The log of one day: one to four rows per banner, in no order, and a few rows that name nothing.

    Args:
        banners: all of the world.
        day: number of the day.
        seed: of the world.
    """
    rng = np.random.default_rng([seed, 5, day])
    rows = [row for banner in banners if day in banner.days for row in _serving_rows(banner, int(rng.integers(1, 5)))]
    rows += [{"banner_id": None, "image_url": None, "advertiser_id": "unknown", "landing_url": None, "text": None}] * 3
    return pd.DataFrame([rows[i] for i in rng.permutation(len(rows))]).astype("string")


def _serving_rows(banner: Banner, count: int) -> list[dict[str, str | None]]:
    creative = banner.rendition.creative
    slug = creative.brand.lower().replace(" ", "").replace("&", "and")
    row: dict[str, str | None] = {
        "banner_id": banner.logged_id,
        "image_url": banner.image_url,
        "advertiser_id": creative.brand,
        "landing_url": f"https://{slug}.example/{creative.theme}/{creative.number}",
        "text": f"{creative.words[0]}. {creative.words[2]}",
    }
    # One id under two addresses: the other address sorts first, so the one that works is kept by the registry's rule.
    other = {**row, "image_url": f"a-copy/{banner.image_url}", "landing_url": f"https://{slug}.example/old"}
    extra = {"conflict": [other], "same_pixels": [{**row, "banner_id": banner.twin_id}]}
    return [row] * count + extra.get(banner.defect, [])
