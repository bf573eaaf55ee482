"""Drawn banners as files, and DINOv2 checkpoints with random weights: what the benchmarks of the embed stage run on."""

from __future__ import annotations

import functools
import http.server
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "jobs")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])  # for Spark's workers

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "image_size": 112},
    "small": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "image_size": 224},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224},
}
"""Of bannermap-tiny and of the published DINOv2 checkpoints, all with patches of 14 pixels."""


def random_checkpoint(shape: str, folder: Path) -> Path:
    """Write a DINOv2 of a shape; its speed does not depend on its weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Dinov2Config(patch_size=14, mlp_ratio=4, **SHAPES[shape])
    transformers.Dinov2Model(config).save_pretrained(folder)
    return folder


def draw_files(folder: Path, count: int, processes: int = 4) -> list[str]:
    """Different banners in the sizes of the sample world; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        return sorted(pool.map(functools.partial(_draw, str(folder)), range(count), chunksize=16))


def _draw(folder: str, number: int) -> str:
    from bannermap.sample.drawing import draw_banner
    from bannermap.sample.plan import SIZE_FAMILIES, draw_creative

    sizes = [size for family in SIZE_FAMILIES for size in family]
    creative = draw_creative(number // 5, 11)  # five sizes of each creative, so that there is something to cluster
    name = f"{number:05d}.{'png' if number % 3 == 0 else 'jpg'}"
    draw_banner(creative, sizes[number % len(sizes)], creative.words).save(Path(folder) / name)
    return name


class Served:
    """A folder over HTTP on loopback."""

    def __init__(self, folder: Path) -> None:
        handler: Any = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass
