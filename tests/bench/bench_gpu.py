"""DINOv2-base on a GPU: rate, share of the device's limit, memory, agreement of bf16 with fp32, and Spark's tax. Needs a GPU:

    python tests/bench/bench_gpu.py [--weights FOLDER]

Without --weights, random ones of the same shape: speed and memory do not depend on them, agreement does. On a host without a GPU
it says so and exits 3; `--device cpu --images 32` runs the same steps for a check of the script.

- Bare loop: prepared pictures in memory to vectors on the host, for each batch size; best of --rounds.
- Limit: 46 GFLOP per picture of 224 x 224 against the rate of a large bf16 matrix product on the same device.
- Agreement: cosine between the bf16 and the fp32 vector of each picture.
- Stage: files over tasks in Spark's local mode, as `embed_banners` runs it, against a bare loop over the same files that also
  decodes; where pyspark does not run, that part is left out and the reason printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from drawn_banners import ROOT, draw_files, random_checkpoint

GFLOP_PER_IMAGE = 46.0
NO_GPU = 3


def matmul_tflops(device: str, side: int, repeats: int) -> float:
    """Rate of a square matrix product in bf16, TFLOP/s; the best of some trials."""
    import torch

    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(3):
        torch.matmul(a, b)
        synchronise(device)
        began = time.perf_counter()
        for _ in range(repeats):
            torch.matmul(a, b)
        synchronise(device)
        best = max(best, 2 * side**3 * repeats / (time.perf_counter() - began) / 1e12)
    return best


def synchronise(device: str) -> None:
    """Wait for the device, so that a clock tells of work and not of its ordering."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def bare_loop(encoder, inputs: list, batch: int, rounds: int, device: str) -> dict[str, float]:
    """Images per second and peak memory at a batch size."""
    import torch

    encoder.encode(inputs[:batch])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    best = 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        for start in range(0, len(inputs), batch):
            encoder.encode(inputs[start : start + batch])
        best = max(best, len(inputs) / (time.perf_counter() - began))
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else 0.0
    return {"batch_images": batch, "images_per_s": best, "peak_memory_mb": peak}


def stage_share(settings, folder: Path, names: list[str], home: Path, tasks: int, rounds: int) -> dict[str, float] | str:
    """The stage against a loop that decodes, too; or why there is none."""
    import statistics

    try:
        from bench_embed_tax import bare, stage

        from bannermap.platform.session import build_session

        spark = build_session(settings.spark)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    bare(settings, folder, names, tasks)
    stage(spark, settings, folder, names, home / "warm")
    pairs = [(bare(settings, folder, names, tasks), stage(spark, settings, folder, names, home / str(n))) for n in range(rounds)]
    spark.stop()
    loop, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    share = statistics.median(ours / loop for loop, ours in pairs)
    return {"bare_images_per_s": loop, "stage_images_per_s": ours, "share": share, "tasks": tasks}


def measured(args: argparse.Namespace, home: Path) -> dict:
    """All figures."""
    import numpy as np

    from bannermap.embedding.decoding.decode import decode
    from bannermap.embedding.encoders.interface import make_encoder
    from bannermap.platform.config import load_settings

    on_cpu = args.device == "cpu"
    names, folder = draw_files(home / "images", args.images), home / "images"
    weights = args.weights or random_checkpoint("base", home / "weights")
    given = ["encoder.name=dinov2", f"encoder.weights={weights}", "encoder.precision=bf16", "encoder.resolution_px=224"]
    given += [f"encoder.batch_images={min(128, args.images)}", f"encoder.max_batch_tokens={256 * max(args.batches)}"]
    given += [f"decode.threads_per_task={args.decode_threads}", f"spark.master=local[{args.tasks},4]"]
    settings = load_settings(ROOT / "conf/base.yaml", [], [*given, "spark.extra={spark.ui.enabled: 'false'}"])
    encoder = make_encoder(settings.encoder)
    inputs = [encoder.prepare(decode((folder / name).read_bytes(), settings.decode).pixels) for name in names]
    tflops = matmul_tflops(args.device, 1024 if on_cpu else 8192, 4 if on_cpu else 50)
    loops = [bare_loop(encoder, inputs, batch, args.rounds, args.device) for batch in args.batches if batch <= len(inputs)]
    for loop in loops:
        loop["share_of_limit"] = loop["images_per_s"] * GFLOP_PER_IMAGE / 1e3 / tflops
        rate, share = loop["images_per_s"], loop["share_of_limit"]
        print(f"batch {loop['batch_images']}: {rate:.1f} images/s, {share:.1%} of the limit, {loop['peak_memory_mb']:.0f} MB")
    exact = make_encoder(settings.encoder.model_copy(update={"precision": "fp32"}))
    some = inputs[: args.compared]
    half, full = (one.encode(some).vectors.astype(np.float64) for one in (encoder, exact))
    cosines = np.einsum("ij,ij->i", half, full)
    print(f"bf16 against fp32 over {len(some)} pictures: cosine at least {cosines.min():.6f}, mean {cosines.mean():.6f}")
    share = stage_share(settings, folder, names, home, args.tasks, args.rounds)
    print(f"stage: {share}")
    facts = {"device": device_name(args.device), "images": len(inputs), "random_weights": args.weights is None, "loops": loops}
    agreement = {"pictures": len(some), "least_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())}
    return {**facts, "bf16_matmul_tflops": tflops, "agreement": agreement, "stage": share}


def device_name(device: str) -> str:
    """What it calls itself."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def main() -> int:
    """Run, print text, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="folder of a DINOv2-base checkpoint; random weights without")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512])
    parser.add_argument("--compared", type=int, default=256, help="pictures for the agreement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=2, help="of Spark at once, sharing the GPU; each loads the model")
    parser.add_argument("--decode-threads", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2))
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU here. Run this on a host with one, or with --device cpu --images 32 to check the script.")
        return NO_GPU
    with tempfile.TemporaryDirectory(prefix="bannermap-gpu-") as home:
        print(json.dumps(measured(args, Path(home))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
