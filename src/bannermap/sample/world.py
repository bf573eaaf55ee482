"""Writing a world: logs, images and the truth, byte for byte the same for the same settings.

A world of more days has the days of one with fewer: their logs and clicks are the same bytes, their images are there beside
those of banners that start later. Only what is known in hindsight may differ: which groups have merged, the days of a banner.
"""

from __future__ import annotations

import datetime
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bannermap import __version__
from bannermap.platform.config import settings_json
from bannermap.platform.runs import say
from bannermap.platform.settings import SampleSettings
from bannermap.platform.tables import BANNER_LOG, EVENT_LOG, Table
from bannermap.sample.events import draw_day, draw_users, event_log_day
from bannermap.sample.lives import Campaign, Rendition, draw_campaigns, draw_renditions
from bannermap.sample.logs import FIRST_DAY, Banner, banner_log_day, draw_banner_plan, image_folder, stored_file
from bannermap.sample.plan import SIZES
from bannermap.sample.renditions import rendition_file
from bannermap.sample.truth import BANNERS_FILE, CAMPAIGNS_FILE, CLICKS_FILE, banner_truth, campaign_truth, growing_table

STAMP = "world.stamp"
SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        images: files.
        banners: banner ids.
        banner_rows: rows of the banner log.
        event_rows: rows of the event log, repeats included.
        campaign_events: rows of the campaigns' truth by kind.
        seconds: wall time.
    """

    images: int
    banners: int
    banner_rows: int
    event_rows: int
    campaign_events: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        """Lines for the person at the terminal."""
        lines = (
            ("images", f"{self.images:,}"),
            ("banners", f"{self.banners:,} ids"),
            ("log rows", f"{self.banner_rows:,} of banners, {self.event_rows:,} of events"),
            ("campaigns", ", ".join(f"{count:,} {kind}" for kind, count in self.campaign_events.items())),
            ("seconds", f"{self.seconds:.0f}"),
        )
        return "\n".join(f"  {name:<11} {text}" for name, text in lines)


def write_world(settings: SampleSettings, processes: int | None = None) -> Drawn | None:
    """Draw a world into ``settings.out``; one that is there already and is the same is left alone.

    Args:
        settings: size, days, seed and folder.
        processes: that draw images, by default one per core; the result does not depend on it.

    Returns:
        What was drawn; null if the world was there.
    """
    began, out = time.monotonic(), Path(settings.out)
    stamp = hashlib.sha256(f"{__version__}{_sources_digest()}{settings_json(settings)}".encode()).hexdigest()
    if (out / STAMP).is_file() and (out / STAMP).read_text() == stamp:
        return None
    (out / STAMP).unlink(missing_ok=True)  # a world that is cut short has no stamp and is drawn again
    for part in ("images", "banner_log", "event_log", "truth"):
        shutil.rmtree(out / part, ignore_errors=True)
    campaigns = draw_campaigns(SIZES[settings.size], settings.days, settings.seed)
    banners = _write_images(settings, campaigns, out / "images", processes)
    banner_rows, event_rows = _write_logs(settings, banners, out)
    names, events = _write_truth(settings, banners, campaigns, out / "truth")
    (out / STAMP).write_text(stamp)
    images = sum(b.is_stored for b in banners)
    return Drawn(images, names, banner_rows, event_rows, events, time.monotonic() - began)


def days_of(settings: SampleSettings) -> list[datetime.date]:
    """The days of a world."""
    return [FIRST_DAY + datetime.timedelta(days=n) for n in range(settings.days)]


def _write_images(settings: SampleSettings, campaigns: list[Campaign], folder: Path, processes: int | None) -> list[Banner]:
    renditions = draw_renditions(campaigns, SIZES[settings.size], settings.days, settings.seed)
    for number in sorted({r.creative.number for r in renditions}):
        (folder / image_folder(number)).mkdir(parents=True)
    work = [(r, settings.days, settings.seed, str(folder)) for r in renditions]
    with ProcessPoolExecutor(processes) as pool:
        banners = list(_telling(pool.map(_write_one, work, chunksize=16), len(work)))
    return _without_repeats(banners, folder)


def _telling(banners: Iterator[Banner], count: int) -> Iterator[Banner]:
    """The banners as they come, saying now and then how many there are."""
    said = time.monotonic()
    for done, banner in enumerate(banners, 1):
        yield banner
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            say(f"sample world: {done:,} of {count:,} images")


def _without_repeats(banners: list[Banner], folder: Path) -> list[Banner]:
    """The banners less renditions that came out byte for byte like an earlier one: their ids would be equal."""
    first: dict[str, Banner] = {}
    for banner in banners:
        if first.setdefault(banner.banner_id, banner) is not banner:
            (folder / banner.image_url).unlink(missing_ok=True)
    return list(first.values())


def _write_one(work: tuple[Rendition, int, int, str]) -> Banner:
    rendition, days, seed, folder = work
    file, ending = rendition_file(rendition, seed)
    banner = draw_banner_plan(rendition, file, ending, days, seed)
    stored = stored_file(banner, file)
    if stored is not None:
        (Path(folder) / banner.image_url).write_bytes(stored)
    return banner


def _write_logs(settings: SampleSettings, banners: list[Banner], out: Path) -> tuple[int, int]:
    """Day by day, with the events of two days in memory; rows of the banner log and of the event log."""
    size, seed = SIZES[settings.size], settings.seed
    users, yesterday, rows = draw_users(size, seed), None, Counter[str]()
    with growing_table(out / "truth" / CLICKS_FILE) as clicks:
        for number, day in enumerate(days_of(settings)):
            rows["banner"] += _write_day(BANNER_LOG, banner_log_day(banners, number, seed), out / "banner_log", day)
            events, shown = draw_day(banners, users, number, size, seed, settings.taste_log_odds)
            rows["event"] += _write_day(EVENT_LOG, event_log_day(events, yesterday, number, seed), out / "event_log", day)
            clicks(shown)
            yesterday = events
    return rows["banner"], rows["event"]


def _write_truth(
    settings: SampleSettings, banners: list[Banner], campaigns: list[Campaign], folder: Path
) -> tuple[int, dict[str, int]]:
    """Banners and campaigns; how many banner ids there are, and how many campaign events of each kind."""
    known, events = banner_truth(banners, campaigns, settings.days), campaign_truth(campaigns, settings.days)
    known.to_parquet(folder / BANNERS_FILE, index=False)
    events.to_parquet(folder / CAMPAIGNS_FILE, index=False)
    return len(known), dict(sorted(Counter(events["kind"]).items()))


def _write_day(table: Table, frame: pd.DataFrame, root: Path, day: datetime.date) -> int:
    columns = [c for c in table.columns if c not in table.partition_by]
    types = [pa.timestamp("us", tz="UTC") if table.type_of(c) == "timestamp" else pa.string() for c in columns]
    rows = pa.Table.from_pandas(frame[columns], pa.schema(list(zip(columns, types, strict=True))), preserve_index=False)
    folder = root / f"dt={day.isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows.replace_schema_metadata(), folder / "part-0.parquet")
    return len(frame)


def _sources_digest() -> str:
    """A changed drawing is another world, also under the same version."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()
