"""Writing a world: logs, images and the truth, byte for byte the same for the same settings."""

from __future__ import annotations

import datetime
import hashlib
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bannermap import __version__
from bannermap.platform.config import settings_json
from bannermap.platform.settings import SampleSettings
from bannermap.platform.tables import BANNER_LOG, EVENT_LOG, Table
from bannermap.sample.events import draw_day, draw_users, event_log_day
from bannermap.sample.logs import FIRST_DAY, Banner, banner_log_day, draw_banner_plan, stored_file
from bannermap.sample.plan import SIZES, Rendition, draw_creatives, draw_renditions
from bannermap.sample.renditions import rendition_file

STAMP = "world.stamp"


def write_world(settings: SampleSettings, processes: int | None = None) -> bool:
    """Draw a world into ``settings.out``; one that is there already and is the same is left alone.

    Args:
        settings: size, days, seed and folder.
        processes: that draw images; the result does not depend on it.

    Returns:
        Whether anything was drawn.
    """
    out = Path(settings.out)
    stamp = hashlib.sha256(f"{__version__}{_sources_digest()}{settings_json(settings)}".encode()).hexdigest()
    if (out / STAMP).is_file() and (out / STAMP).read_text() == stamp:
        return False
    for part in ("images", "banner_log", "event_log", "truth"):
        shutil.rmtree(out / part, ignore_errors=True)
    banners = _write_images(settings, out / "images", processes)
    _write_logs(settings, banners, out)
    (out / STAMP).write_text(stamp)  # last: a world that was cut short has no stamp and is drawn again
    return True


def days_of(settings: SampleSettings) -> list[datetime.date]:
    """The days of a world."""
    return [FIRST_DAY + datetime.timedelta(days=n) for n in range(settings.days)]


def _write_images(settings: SampleSettings, folder: Path, processes: int | None) -> list[Banner]:
    size = SIZES[settings.size]
    renditions = draw_renditions(draw_creatives(size, settings.seed), size, settings.seed)
    work = [(r, settings.days, settings.seed, str(folder)) for r in renditions]
    with ProcessPoolExecutor(processes) as pool:
        banners = list(pool.map(_write_one, work, chunksize=16))
    return _without_repeats(banners, folder)


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
        path = Path(folder) / banner.image_url
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored)
    return banner


def _write_logs(settings: SampleSettings, banners: list[Banner], out: Path) -> None:
    size, seed = SIZES[settings.size], settings.seed
    users, yesterday, clicks = draw_users(size, seed), None, []
    for number, day in enumerate(days_of(settings)):
        _write_day(BANNER_LOG, banner_log_day(banners, number, seed), out / "banner_log", day)
        events, truth = draw_day(banners, users, number, size, seed)
        _write_day(EVENT_LOG, event_log_day(events, yesterday, number, seed), out / "event_log", day)
        yesterday = events
        clicks.append(truth)
    _write_truth(out / "truth", "banners", _banner_truth(banners))
    _write_truth(out / "truth", "clicks", pd.concat(clicks, ignore_index=True))


def _banner_truth(banners: list[Banner]) -> pd.DataFrame:
    """One row per banner id; a file served twice has two."""
    rows = [_truth_row(b, name) for b in banners for name in (b.banner_id, b.twin_id) if name]
    return pd.DataFrame(rows)


def _truth_row(banner: Banner, name: str) -> dict[str, object]:
    creative = banner.rendition.creative
    return {
        "banner_id": name,
        "creative_group": creative.number,
        "campaign": creative.campaign,
        "brand": creative.brand,
        "theme": creative.theme,
        "rendition": banner.rendition.kind,
        "defect": banner.defect,
        "has_picture": banner.has_picture,
        "days": list(banner.days),
    }


def _write_day(table: Table, frame: pd.DataFrame, root: Path, day: datetime.date) -> None:
    columns = [c for c in table.columns if c not in table.partition_by]
    types = [pa.timestamp("us", tz="UTC") if table.type_of(c) == "timestamp" else pa.string() for c in columns]
    rows = pa.Table.from_pandas(frame[columns], pa.schema(list(zip(columns, types, strict=True))), preserve_index=False)
    folder = root / f"dt={day.isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows.replace_schema_metadata(), folder / "part-0.parquet")


def _write_truth(folder: Path, name: str, frame: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / f"{name}.parquet", index=False)


def _sources_digest() -> str:
    """A changed drawing is another world, also under the same version."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()
