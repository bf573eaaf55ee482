"""Text from a picture by tesseract: a process of its own for each picture, with a deadline and a bound on its memory."""

from __future__ import annotations

import io
import os
import resource
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import OcrSettings, Settings

PROGRAM = "tesseract"
WAY = "psm11-last-frame-2"
"""How pictures are read; another way is another reader. 11: sparse text, wherever it stands, as tesseract's manual numbers it."""
ENLARGED_BELOW_PIXELS = 1_000_000
"""Letters of a banner are some 15 pixels high, and tesseract was trained on about 30: smaller pictures are doubled."""
MAX_TEXT = 10_000
"""Characters kept of one picture."""
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Reader:
    """What reads; small and picklable, it travels to the tasks.

    Attributes:
        settings: limits and languages.
        version: of the program, as it says itself.
        program: name or path.
    """

    settings: OcrSettings
    version: str
    program: str = PROGRAM

    @property
    def name(self) -> str:
        """Everything that can change a text; the reader of `BANNER_TEXTS`."""
        return f"{self.version} {'+'.join(self.settings.languages)} {WAY}"


def reader(settings: Settings, program: str = PROGRAM) -> Reader | None:
    """The reader that the configuration asks for, or null.

    Raises:
        ConfigError: the program or a language is absent on the driver; workers are expected to have the same.
    """
    analytics = settings.analytics
    if not analytics.read_images:
        return None
    try:
        version, languages = (_said(program, option) for option in ("--version", "--list-langs"))
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"analytics.read_images is on, and {program} cannot be started ({error}). Install it on the driver and on all "
            "workers (Debian: tesseract-ocr), or set analytics.read_images to false."
        ) from None
    missing = set(analytics.ocr.languages) - set(languages.split())
    if missing:
        raise ConfigError(
            f"analytics.ocr.languages asks for {', '.join(sorted(missing))}, which {program} does not have here. Install its "
            "models (Debian: tesseract-ocr-LANGUAGE) on the driver and on all workers, or leave it out."
        )
    return Reader(analytics.ocr, " ".join(version.split()[:2]), program)


def _said(program: str, option: str) -> str:
    done = subprocess.run([program, option], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout or done.stderr  # version 3 says it there


def read_text(data: bytes, by: Reader) -> tuple[str, str | None]:
    """Status and text of one picture, see `BANNER_TEXTS`; never raises for what a picture or the program does.

    Args:
        data: the file as it came.
        by: what reads.
    """
    page, status = _page(data, by.settings.max_pixels)
    if page is None:
        return status, None
    try:
        done = subprocess.run(
            [by.program, "stdin", "stdout", "-l", "+".join(by.settings.languages), "--psm", "11"],
            input=page,
            capture_output=True,
            timeout=by.settings.deadline_s,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # one task is one core
            preexec_fn=lambda: _bound_memory(by.settings.max_memory_mb),
        )
    except subprocess.TimeoutExpired:
        return "timeout", None
    except OSError:
        return "failed", None
    if done.returncode:
        return ("out_of_memory" if b"bad_alloc" in done.stderr else "failed"), None
    return "ok", " ".join(done.stdout.decode("utf-8", "replace").split())[:MAX_TEXT]


def _bound_memory(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (megabytes * MEBIBYTE,) * 2)


def _page(data: bytes, max_pixels: int) -> tuple[bytes | None, str]:
    """The picture as PNG on white, or why there is none. Of an animation its last frame, on which an ad's message stands."""
    import numpy as np
    from PIL import Image

    from bannermap.platform.exif import orientation_of, upright

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > max_pixels:
                return None, "too_large"
            turned = orientation_of(image)
            image.seek(getattr(image, "n_frames", 1) - 1)
            layer = Image.fromarray(upright(np.asarray(image.convert("RGBA")), turned))
    except Exception:  # whatever a decoder raises: a picture must not end a task
        return None, "undecodable"
    page = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if page.width * page.height < ENLARGED_BELOW_PIXELS:
        page = page.resize((2 * page.width, 2 * page.height), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    page.save(target, "PNG", compress_level=1)
    return target.getvalue(), ""


def text_batches(batches: Iterable[pa.RecordBatch], by: Reader) -> Iterator[pa.RecordBatch]:
    """Columns of `BANNER_TEXTS` from content_hash and data, one picture at a time."""
    for batch in batches:
        for content_hash, data in zip(batch.column("content_hash"), batch.column("data"), strict=True):
            status, text = read_text(data.as_py(), by)
            row = {"content_hash": content_hash.as_py(), "reader": by.name, "status": status, "text": text}
            yield pa.RecordBatch.from_pylist([row], pa.schema([(name, pa.string()) for name in row]))
