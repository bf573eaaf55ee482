"""Fetch rate on loopback against img2dataset: 20 KB images behind 50 ms of latency, one server process for both, by hand:

    python tests/bench/bench_fetch.py                              # makes an environment for img2dataset below --work
    python tests/bench/bench_fetch.py --img2dataset-python PATH    # uses one that is there

Both get the same list of URLs and the same number of processes; each runs with its best width among --widths, found in a first
pass. Both hash every image and write it (img2dataset tar files, re-encoding off; bannermap the Arrow batches that a task puts
out), and what they wrote is read back and compared by hash. Rates are taken by the server, from the first request to the last
answer, so that no start of an interpreter counts. Peak memory is the resident size of all processes of one side together.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import itertools
import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bannermap.platform.memory import peak_memory

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
THEIRS = """
import json, sys
from img2dataset import download
options = json.loads(sys.argv[1])
download(**options)
"""


def image_of(number: int, image_bytes: int) -> bytes:
    """The image of a URL: a JPEG's marks around bytes that are its own."""
    seed = hashlib.sha256(str(number).encode()).digest()
    return b"\xff\xd8\xff\xe0" + (seed * (image_bytes // 32 + 1))[: image_bytes - 6] + b"\xff\xd9"


class _Serving(asyncio.Protocol):
    """HTTP/1.1 in the fewest lines: one answer per request, after the latency."""

    facts: dict[str, float] = {"requests": 0, "first": 0.0, "last": 0.0}  # noqa: RUF012 - one server per process
    latency_s, image_bytes = 0.05, 20_000

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        path = data.split(b" ", 2)[1]
        if path.startswith(b"/control/"):
            self._control(path)
            return
        self.facts["requests"] += 1
        self.facts["first"] = self.facts["first"] or time.monotonic()
        close = b"connection: close" in data.lower()
        asyncio.get_running_loop().call_later(self.latency_s, self._answer, int(path[1:]), close)

    def _answer(self, number: int, close: bool) -> None:
        body = image_of(number, self.image_bytes)
        self.transport.write(HEAD % len(body) + body)
        self.facts["last"] = time.monotonic()
        if close:
            self.transport.close()

    def _control(self, path: bytes) -> None:
        body = json.dumps(self.facts).encode()
        if path.endswith(b"reset"):
            self.facts.update({"requests": 0, "first": 0.0, "last": 0.0})
        self.transport.write(HEAD % len(body) + body)
        self.transport.close()


def serve(latency_s: float, image_bytes: int, port: Any) -> None:
    """The server's process; puts its port into ``port``."""

    async def run() -> None:
        _Serving.latency_s, _Serving.image_bytes = latency_s, image_bytes
        server = await asyncio.get_running_loop().create_server(_Serving, "127.0.0.1", 0, backlog=4096)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(run())


def fetch_ours(urls: Path, out: Path, width: int, rank: int, processes: int) -> None:
    """One process of ours, as one task of Spark: fetch its part, hash it, and put it out as Arrow batches."""
    import pyarrow as pa

    from bannermap.embedding.fetching.stream import stream_fetched
    from bannermap.platform.config import load_settings

    settings = load_settings(Path(__file__).parents[2] / "conf/base.yaml").fetch
    wide = {"concurrency_per_task": width, "per_host": width, "queued_images": 2 * width}
    settings = settings.model_copy(update={"allow_private_addresses": True, **wide})
    schema = pa.schema({"content_hash": pa.string(), "data": pa.binary()})
    fetched = (f for _, f in stream_fetched(urls.read_text().split()[rank::processes], out, settings))
    with pa.ipc.new_file(str(out / f"{rank}.arrow"), schema) as writer:
        while batch := list(itertools.islice(fetched, 256)):
            writer.write(pa.record_batch([[f.content_hash for f in batch], [f.data for f in batch]], schema=schema))


def ours(work: Path, urls: Path, width: int, processes: int) -> list[subprocess.Popen]:
    """Start our processes."""
    code = "import sys, bench_fetch, pathlib as p; a = sys.argv; "
    code += "bench_fetch.fetch_ours(p.Path(a[1]), p.Path(a[2]), int(a[3]), int(a[4]), int(a[5]))"
    options = {"cwd": Path(__file__).parent}
    commands = [[sys.executable, "-c", code, urls, work, str(width), str(rank), str(processes)] for rank in range(processes)]
    return [subprocess.Popen(command, **options) for command in commands]


def theirs(python: str, work: Path, urls: Path, width: int, processes: int) -> list[subprocess.Popen]:
    """Start img2dataset with what suits it here: no resizing, no re-encoding, no retries, one shard per process."""
    shard = -(-len(urls.read_text().split()) // processes)
    options = {
        "url_list": str(urls),
        "input_format": "txt",
        "output_folder": str(work / "out"),
        "output_format": "webdataset",
        "processes_count": processes,
        "thread_count": width,
        "number_sample_per_shard": shard,
        "timeout": 20,
        "retries": 0,
        "resize_mode": "no",
        "disable_all_reencoding": True,
        "disallowed_header_directives": [],
        "enable_wandb": False,
    }
    script = "if __name__ == '__main__':\n" + "\n".join("    " + line for line in THEIRS.strip().splitlines())
    (work / "theirs.py").write_text(script)
    quiet = {"stdout": (work / "theirs.log").open("w"), "stderr": subprocess.STDOUT}
    return [subprocess.Popen([python, str(work / "theirs.py"), json.dumps(options)], **quiet)]


def measured(start: Any, control: str) -> dict[str, float]:
    """Run one side: images per second by the server, and peak memory of its processes together."""
    urllib.request.urlopen(control + "reset").read()
    begun = time.monotonic()
    processes = start()
    with peak_memory([p.pid for p in processes]) as peak:
        codes = [p.wait() for p in processes]
    facts = json.loads(urllib.request.urlopen(control + "facts").read())
    if any(codes):
        raise SystemExit(f"a side ended with {codes}")
    seconds = facts["last"] - facts["first"]
    rate = facts["requests"] / seconds
    return {"images_per_s": rate, "requests": facts["requests"], "wall_s": time.monotonic() - begun, "peak_rss_mb": peak.mb}


def hashes_ours(work: Path) -> set[str]:
    """Hashes of the bytes that we wrote."""
    import pyarrow as pa

    found = set()
    for file in work.glob("*.arrow"):
        for batch in pa.ipc.open_file(str(file)).read_all().to_batches():
            found |= {hashlib.sha256(data).hexdigest() for data in batch["data"].to_pylist()}
    return found


def hashes_theirs(work: Path) -> set[str]:
    """Hashes of the bytes that img2dataset wrote."""
    found = set()
    for file in (work / "out").glob("*.tar"):
        with tarfile.open(file) as tar:
            for member in tar:
                if member.name.endswith((".jpg", ".jpeg")):
                    content = tar.extractfile(member) or io.BytesIO()
                    found.add(hashlib.sha256(content.read()).hexdigest())
    return found


def environment(given: str | None, work: Path) -> str:
    """The interpreter that has img2dataset; its pins clash with ours, so it gets an environment of its own."""
    if given:
        return given
    python = work / "img2dataset/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "img2dataset"], check=True)
    return str(python)


def round_of(side: str, python: str, args: argparse.Namespace, urls: Path, width: int, processes: int, control: str) -> dict:
    """One run of one side in an empty folder, checked against what the server served."""
    work = args.work / "run"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    start = (lambda: ours(work, urls, width, processes)) if side == "ours" else None
    result = measured(start or (lambda: theirs(python, work, urls, width, processes)), control)
    wanted = {hashlib.sha256(image_of(int(u.rpartition("/")[2]), args.image_bytes)).hexdigest() for u in urls.read_text().split()}
    got = hashes_ours(work) if side == "ours" else hashes_theirs(work)
    row = {"side": side, "processes": processes, "width": width, "complete": got == wanted, **result}
    print(
        f"{side:<12} {processes} processes x {width:<4} {row['images_per_s']:8.0f} images/s  {row['peak_rss_mb']:6.0f} MB  "
        f"{len(got & wanted)}/{len(wanted)} right",
        flush=True,
    )
    return row


def compared(args: argparse.Namespace, python: str, urls: Path, processes: int, control: str) -> dict[str, Any]:
    """Find each side's best width, then alternate the sides for some rounds."""
    best = {}
    for side in ("ours", "img2dataset"):
        tried = [round_of(side, python, args, urls, width, processes, control) for width in args.widths]
        best[side] = max(tried, key=lambda r: r["images_per_s"])["width"]
    rounds = [
        round_of(side, python, args, urls, best[side], processes, control)
        for _ in range(args.rounds)
        for side in ("ours", "img2dataset")
    ]
    summary: dict[str, Any] = {"processes": processes, "rounds": rounds}
    for side in ("ours", "img2dataset"):
        own = [r for r in rounds if r["side"] == side]
        summary[side] = {
            "width": best[side],
            "images_per_s": statistics.median(r["images_per_s"] for r in own),
            "peak_rss_mb": max(r["peak_rss_mb"] for r in own),
            "complete": all(r["complete"] for r in own),
        }
    summary["ratio"] = summary["ours"]["images_per_s"] / summary["img2dataset"]["images_per_s"]
    return summary


def main() -> None:
    """Run, print text, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--image-bytes", type=int, default=20_000)
    parser.add_argument("--latency-s", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512], help="fetches in flight per process")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--img2dataset-python", help="interpreter that has img2dataset; else an environment is made")
    parser.add_argument("--work", type=Path, default=Path("/tmp/bannermap-bench-fetch"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    python = environment(args.img2dataset_python, args.work)
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(args.latency_s, args.image_bytes, port), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.05)
    urls = args.work / "urls.txt"
    urls.write_text("\n".join(f"http://127.0.0.1:{port.value}/{i}" for i in range(args.images)))
    control = f"http://127.0.0.1:{port.value}/control/"
    summaries = [compared(args, python, urls, processes, control) for processes in args.processes]
    server.terminate()
    for s in summaries:
        a, b = s["ours"], s["img2dataset"]
        print(
            f"{s['processes']} processes: bannermap {a['images_per_s']:.0f} images/s in {a['peak_rss_mb']:.0f} MB, img2dataset "
            f"{b['images_per_s']:.0f} images/s in {b['peak_rss_mb']:.0f} MB: {s['ratio']:.2f} times; all bytes right: "
            f"{a['complete']}, {b['complete']}"
        )
    print(json.dumps({"images": args.images, "image_bytes": args.image_bytes, "latency_s": args.latency_s, "results": summaries}))


if __name__ == "__main__":
    main()
