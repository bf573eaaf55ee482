"""Bytes a row takes in Parquet, of the tables that grow with banners and users; docs/sizing.md multiplies them.

    python tests/bench/bench_rows.py

Values are drawn: hashes are random, as they are; users and banners repeat as in a log. Compressed as Spark does.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NEIGHBOURS, DIMENSIONS, CLUSTERS_OF_A_USER = 30, 768, 32
HASHES = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(50_000)]


def bytes_a_row(table: pa.Table) -> float:
    """Size of one file over its rows."""
    file = io.BytesIO()
    pq.write_table(table, file, compression="snappy")
    return file.tell() / table.num_rows


def hashes(rng: np.random.Generator, rows: int, distinct: int = len(HASHES)) -> list[str]:
    return [HASHES[n] for n in rng.integers(0, distinct, rows)]


def lists(flat: pa.Array, ends: np.ndarray) -> pa.Array:
    return pa.ListArray.from_arrays(np.concatenate([[0], ends]).astype(np.int32), flat)


def partials(rng: np.random.Generator, rows: int = 300_000) -> pa.Table:
    """`user_banner_days` of one bucket: ten banners a user, sorted as they are written."""
    order = np.lexsort((banners := rng.zipf(1.3, rows) % len(HASHES), users := rng.integers(0, rows // 10, rows)))
    columns = {"user_id": [f"u{n:09d}" for n in users[order]], "banner_id": [HASHES[n] for n in banners[order]]}
    counts = {
        "requests": rng.integers(1, 4, rows),
        "impressions": rng.integers(0, 3, rows),
        "clicks": rng.binomial(1, 0.01, rows),
    }
    return pa.table(columns | counts)


def neighbours(rng: np.random.Generator, rows: int = 20_000) -> pa.Table:
    """`neighbours`: a full list for each picture."""
    count = rows * NEIGHBOURS
    parts = [pa.array(hashes(rng, count)), pa.array(rng.random(count).astype(np.float32))]
    flat = pa.StructArray.from_arrays(parts, ["dst", "cosine"])
    return pa.table({"src": HASHES[:rows], "neighbours": lists(flat, np.arange(1, rows + 1) * NEIGHBOURS)})


def vectors(rng: np.random.Generator, rows: int = 2_000) -> pa.Table:
    """`embeddings`."""
    flat = pa.array(rng.standard_normal(rows * DIMENSIONS).astype(np.float32))
    return pa.table({"content_hash": HASHES[:rows], "vector": lists(flat, np.arange(1, rows + 1) * DIMENSIONS)})


def members(rng: np.random.Generator, rows: int = 50_000) -> pa.Table:
    """`cluster_members`: 25 banners a cluster."""
    cluster = hashes(rng, rows, rows // 25)
    numbers = {"similarity_to_medoid": rng.random(rows).astype(np.float32), "is_outlier": rng.random(rows) < 0.1}
    return pa.table(
        {"banner_id": HASHES[:rows], "pixel_hash": hashes(rng, rows), "cluster_id": cluster, "path": cluster} | numbers
    )


def features(rng: np.random.Generator, rows: int = 20_000) -> pa.Table:
    """`user_features`: arrays over the clusters that a user saw in thirty days, of 256."""
    ends = np.cumsum(rng.integers(5, 2 * CLUSTERS_OF_A_USER - 5, rows))
    total = int(ends[-1])
    columns = {"user_id": [f"u{n:09d}" for n in range(rows)]}
    columns["cluster_ids"] = lists(pa.array([f"c{n:07x}" for n in rng.integers(0, 256, total)]), ends)
    for event, mean in (("requests", 1.5), ("impressions", 0.8), ("clicks", 0.02)):
        for days in (1, 7, 15, 30):
            columns[f"{event}_{days}d"] = lists(pa.array(rng.poisson(mean * days / 30, total).astype(np.int32)), ends)
    return pa.table(columns)


if __name__ == "__main__":
    for made in (partials, neighbours, vectors, members, features):
        print(f"{made.__name__:<12} {bytes_a_row(made(np.random.default_rng(1))):>8.1f} bytes a row")
