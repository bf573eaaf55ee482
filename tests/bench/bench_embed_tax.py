"""What Spark takes of the embed stage, by hand:

    python tests/bench/bench_embed_tax.py                    # DINOv2-small, random weights, on the CPU
    python tests/bench/bench_embed_tax.py --shape tiny --images 4000

The stage is what `embed_banners` runs: addresses of local files spread over tasks in local mode, one thread of torch each, every
finished batch staged as Parquet. Against it a bare loop over the same files: decode and prepare in a pool of threads, encode in
batches of the same size; once in one process with as many threads of torch as the stage has tasks at once, and once in as many
processes with one thread each, which bears a machine that has other work better. All are warmed with a part of the files first
(Spark keeps its Python workers, and with them the model), so no start and no loading counts. The sides alternate; the share
is the median over rounds of the stage's rate over that of the faster loop.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from drawn_banners import ROOT, SHAPES, draw_files, random_checkpoint

from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.encoders.interface import make_encoder
from bannermap.embedding.frames import ADDRESSES
from bannermap.embedding.job import image_kernel
from bannermap.embedding.making import StagedTask, made_in_tasks, tasks_of
from bannermap.embedding.staging import Staging
from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings


def bare(settings: Settings, folder: Path, names: list[str], threads: int) -> float:
    """Images per second of a loop."""
    import torch

    encoder, size = make_encoder(settings.encoder), settings.encoder.batch_images

    def prepared(name: str):
        return encoder.prepare(decode((folder / name).read_bytes(), settings.decode).pixels)

    torch.set_num_threads(threads)
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(names), size):
            assert len(encoder.encode(list(pool.map(prepared, names[start : start + size]))).vectors)
    return len(names) / (time.perf_counter() - began)


def bare_in_processes(pool: ProcessPoolExecutor, settings: Settings, folder: Path, names: list[str], processes: int) -> float:
    """Images per second of as many loops, each over its share of the files."""
    began = time.perf_counter()
    running = [pool.submit(bare, settings, folder, names[n::processes], 1) for n in range(processes)]
    for one in running:
        one.result()
    return len(names) / (time.perf_counter() - began)


def stage(spark, settings: Settings, folder: Path, names: list[str], staging: Path) -> float:
    """Images per second of the stage."""
    addresses = spark.createDataFrame([(name,) for name in names], ADDRESSES.schema)
    task = StagedTask(image_kernel(settings, str(folder)).from_addresses, Staging(str(staging)), "image_url", "bench")
    spread = addresses.repartition(tasks_of(spark), "image_url")
    began = time.perf_counter()
    made = made_in_tasks(spread, task, settings.encoder, "images int").groupBy().sum("images").first()[0]
    rate = len(names) / (time.perf_counter() - began)
    assert made == len(names)
    return rate


def main() -> None:
    """Run, print text, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--set", action="append", default=[], help="as of a job: section.key=value")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bannermap-tax-") as home:
        weights = random_checkpoint(args.shape, Path(home) / "weights")
        names, folder = draw_files(Path(home) / "images", args.images), Path(home) / "images"
        given = ["encoder.name=dinov2", f"encoder.weights={weights}", f"spark.master=local[{args.threads},4]"]
        settings = load_settings(ROOT / "conf/base.yaml", [], [*given, "spark.extra={spark.ui.enabled: 'false'}", *args.set])
        spark = build_session(settings.spark)
        part = names[: max(args.threads * 8, args.images // 5)]
        pool, rounds = ProcessPoolExecutor(args.threads, multiprocessing.get_context("spawn")), []
        for number in range(-1, args.rounds):
            here = part if number < 0 else names
            one = bare(settings, folder, here, args.threads)
            several = bare_in_processes(pool, settings, folder, here, args.threads)
            ours = stage(spark, settings, folder, here, Path(home) / f"round{number}")
            if number >= 0:
                share = ours / max(one, several)
                rounds.append({"bare": one, "bare_processes": several, "stage": ours, "share": share, "load": os.getloadavg()[0]})
                print(
                    f"bare loop {one:.1f}, in processes {several:.1f}, embed stage {ours:.1f} images/s: {share:.3f}", flush=True
                )
        pool.shutdown()
        spark.stop()
    share = statistics.median(r["share"] for r in rounds)
    print(f"{args.shape}, {args.images} images, {args.threads} threads: the stage makes {share:.1%} of the faster loop's rate")
    print(json.dumps({"shape": args.shape, "images": args.images, "threads": args.threads, "rounds": rounds, "share": share}))


if __name__ == "__main__":
    sys.exit(main())
