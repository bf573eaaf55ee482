"""Where the pages go: all of one run at once, so that no reader meets pages of two runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from bannermap.platform.errors import InputError

OURS = re.compile(r"(index|clusters-\d{3,})\.html(\.new)?")


def local_folder(where: str) -> Path:
    """The report's folder.

    Raises:
        InputError: it is not on a local disk, or holds files that no report wrote.
    """
    if "://" in where and not where.startswith("file://"):
        raise InputError(
            f"paths.report is {where}, and the report is written to local folders only. Copy it from there afterwards."
        )
    folder = Path(where.removeprefix("file://"))
    foreign = sorted(p.name for p in folder.iterdir() if not OURS.fullmatch(p.name)) if folder.is_dir() else []
    if foreign:
        raise InputError(
            f"{folder} holds {foreign[0]}, which no report wrote, and the folder is replaced as a whole. "
            "Let paths.report name a folder of its own."
        )
    return folder


def publish(folder: Path, files: Mapping[str, str]) -> None:
    """Put the pages in place of those of an earlier run, whole or not at all.

    They are written beside the folder, and two renames put them in its place. Killed between the two, the folder is absent
    until the job runs again; pages of two runs never stand in it together.

    Args:
        folder: gets exactly these files.
        files: name -> text.
    """
    folder = folder.absolute()
    staging, former = (folder.with_name(f"{folder.name}.{kind}") for kind in ("staging", "former"))
    for rest in (staging, former):
        shutil.rmtree(rest, ignore_errors=True)
    staging.mkdir(parents=True)
    for name, text in files.items():
        (staging / name).write_text(text, encoding="utf-8")
    if folder.exists():
        folder.rename(former)
    staging.rename(folder)
    shutil.rmtree(former, ignore_errors=True)
