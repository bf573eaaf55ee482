"""A banner log for a folder of images, for people who have pictures and no log."""

from __future__ import annotations

from pathlib import Path

from bannermap.platform.errors import InputError
from bannermap.platform.tables import BANNER_LOG, NO_DAY

DAY = NO_DAY
"""The day of every such log. A folder has no day; with one for all runs, a rerun replaces what an earlier one saw."""


def write_log_of_folder(images: Path, log_root: Path) -> int:
    """Write a banner log with one row per file below a folder; hidden files and folders are left out.

    Args:
        images: the folder; addresses in the log are relative to it.
        log_root: gets ``dt=.../part.parquet``.

    Returns:
        Number of files.

    Raises:
        InputError: no such folder, or no files in it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = sorted(str(p.relative_to(images)) for p in images.rglob("*") if p.is_file() and not _hidden(p.relative_to(images)))
    if not names:
        raise InputError(f"{images} is not a folder with files. Give the folder that holds the pictures.")
    columns = {
        c: pa.array(names if c == "image_url" else [None] * len(names), pa.string()) for c in BANNER_LOG.columns if c != "dt"
    }
    folder = log_root / f"dt={DAY.isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "part.parquet")
    return len(names)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
