"""Rows per second of reading published features, for each layout and way, by hand:

    python tests/bench/bench_reading.py --users 1000000 --workers 2

Writes a million users as a list set, a wide set (both of five themes) and aligned arrays (three clusters a user), each with four
windows of three event types, reads each with pandas and with torch, and prints rows per second, and the time as a ratio to that
of pyarrow reading the same columns and making nothing of them. The files were just written, so they come from memory.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from drawn_banners import ROOT

from bannermap.features.reading import FeatureRevision, features_for, torch_dataset
from bannermap.platform.tables import FeatureSet

sys.path.insert(0, str(ROOT / "tests/features"))
from feature_files import EVERYTHING, SLOTS, write_set

DAY = datetime.date(2026, 1, 1)
SETS = (
    FeatureSet("list", *EVERYTHING, len(SLOTS), "list", recency=False, share=False),
    FeatureSet("wide", *EVERYTHING, len(SLOTS), "wide", recency=False, share=False),
    FeatureSet("arrays", *EVERYTHING, None, "arrays", recency=False, share=False),
)


def by_pyarrow(revision: FeatureRevision) -> int:
    return sum(batch.num_rows for batch in revision.batches())


def by_pandas(revision: FeatureRevision) -> int:
    return len(revision.to_pandas())


def by_torch(revision: FeatureRevision, workers: int) -> int:
    from torch.utils.data import DataLoader

    words = revision.vocabulary() if "cluster_ids" in revision.columns else None
    loader = DataLoader(torch_dataset(revision, batch_rows=8192, vocabulary=words), batch_size=None, num_workers=workers)
    return sum(len(batch["user_id"]) for batch in loader)


def ways(workers: int) -> Iterator[tuple[str, Callable[[FeatureRevision], int]]]:
    """Name and reader; the first is the measure of the others."""
    yield "pyarrow batches", by_pyarrow
    yield "pandas frame", by_pandas
    for number in sorted({0, workers}):
        yield f"torch loader, {number} workers", lambda revision, number=number: by_torch(revision, number)


def main() -> None:
    """Write, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="the best counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bannermap-reading-") as home:
        for chosen in SETS:
            folder = write_set(Path(home), chosen, args.users, DAY, files=args.files)
            revision = features_for(str(folder), DAY + datetime.timedelta(days=2))
            mb = sum(p.stat().st_size for p in folder.rglob("*.parquet")) / 1e6
            print(f"{chosen.layout}: {args.users} users, {len(revision.columns)} columns, {mb:.0f} MB", flush=True)
            measure(revision, args.users, args.workers, args.repeats)


def measure(revision: FeatureRevision, users: int, workers: int, repeats: int) -> None:
    """Print a line for each way."""
    least = None
    for name, read in ways(workers):
        seconds = []
        for _ in range(repeats):
            began = time.monotonic()
            rows = read(revision)
            seconds.append(time.monotonic() - began)
            if rows != users:
                sys.exit(f"{name} read {rows} of {users} rows")
        least = least or min(seconds)
        print(f"  {name:24} {users / min(seconds):12,.0f} rows/s, {min(seconds) / least:5.2f} x pyarrow's time", flush=True)


if __name__ == "__main__":
    main()
