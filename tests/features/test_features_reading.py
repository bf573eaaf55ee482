"""Reading for trainers: the revision of the join rule, arrays of each layout, every row once over workers; the examples."""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_files import EVERYTHING, SLOTS, write_set
from repository import ROOT
from torch.utils.data import DataLoader

from bannermap.features.reading import PUBLICATIONS_FILE, arrays_of, features_for, torch_dataset
from bannermap.platform.errors import InputError
from bannermap.platform.tables import FeatureSet

FIRST = datetime.date(2026, 1, 1)
WIDE = FeatureSet("wide", ("click",), (7, 30), len(SLOTS), "wide", recency=True, share=False)
LIST = FeatureSet("list", *EVERYTHING, len(SLOTS), "list", recency=False, share=True)
ARRAYS = FeatureSet("arrays", *EVERYTHING, None, "arrays", recency=False, share=False)


def moment(number: float) -> datetime.datetime:
    return datetime.datetime.combine(FIRST, datetime.time(), datetime.UTC) + datetime.timedelta(days=number)


@pytest.mark.parametrize("seed", range(12))
def test_the_revision_of_random_publications_is_that_of_the_rule(seed, tmp_path):
    rng, published = random.Random(seed), []
    for n in rng.sample(range(6), 4):
        for revision in range(1, rng.randint(1, 3) + 1):
            at = moment(n + 1 + rng.choice([0, 0.25, 1, 3]) + revision * 0.01)
            write_set(tmp_path, WIDE, 3, FIRST + datetime.timedelta(days=n), files=1, revision=revision, available_at=at)
            published.append((n, at, revision))
    folder = str(tmp_path / WIDE.table().name)
    for n in range(10):
        for known in (None, moment(n + rng.random())):
            usable = [p for p in published if p[0] < n and p[1] <= (known or moment(n))]
            if not usable:
                with pytest.raises(InputError, match="no features as of a day before"):
                    features_for(folder, FIRST + datetime.timedelta(days=n), known)
                continue
            found = features_for(folder, FIRST + datetime.timedelta(days=n), known)
            assert ((found.dt - FIRST).days, found.available_at, found.revision) == max(usable)
            assert found.semantic_hash == WIDE.table().semantic_hash


def test_of_clusterings_that_became_available_at_once_one_has_to_be_named(tmp_path):
    at, later = moment(1.25), moment(1.5)
    for name, when in (("one", at), ("two", at), ("three", later)):
        write_set(tmp_path, WIDE, 3, FIRST, files=1, available_at=when, clustering_id=name)
    folder, day = str(tmp_path / WIDE.table().name), FIRST + datetime.timedelta(days=2)
    assert features_for(folder, day).clustering_id == "three"
    with pytest.raises(InputError, match=r"by 2 clusterings .*one, two"):
        features_for(folder, day, known_at=at)
    for name in ("one", "two"):
        assert features_for(folder, day, known_at=at, clustering_id=name).clustering_id == name


def test_only_what_is_published_is_read_where_the_table_says_what_is(tmp_path):
    for number in (1, 2):
        folder = write_set(tmp_path, WIDE, 3, FIRST, files=1, revision=number, available_at=moment(1 + number / 4))
    day, named = FIRST + datetime.timedelta(days=2), folder / PUBLICATIONS_FILE
    assert features_for(str(folder), day).revision == 2, "a table of earlier times does not say"
    named.write_text(json.dumps([[str(FIRST), f"{FIRST}-c1", 1]]))
    assert features_for(str(folder), day).revision == 1
    named.write_text("[]")
    with pytest.raises(InputError, match="no features as of"):
        features_for(str(folder), day)
    named.write_text('[["2026')
    with pytest.raises(InputError, match="is cut off"):
        features_for(str(folder), day)


def test_a_place_without_features_and_a_moment_without_a_zone_are_refused(tmp_path):
    with pytest.raises(InputError, match="no table of features"):
        features_for(str(tmp_path / "nowhere"), FIRST)
    with pytest.raises(InputError, match="time zone"):
        features_for(str(tmp_path), FIRST, datetime.datetime(2026, 1, 1))


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_are_utc_with_or_without_a_zone_in_the_file(zone, tmp_path):
    folder = write_set(tmp_path, WIDE, 3, FIRST, files=1)
    (path,) = folder.rglob("*.parquet")
    table = pq.read_table(path, partitioning=None).drop(["available_at"])
    at = pa.array([moment(1.5)] * 3, pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))
    pq.write_table(table.append_column("available_at", at), path, use_deprecated_int96_timestamps=zone is None)
    assert features_for(str(folder), FIRST + datetime.timedelta(days=2)).available_at == moment(1.5)


def read(chosen: FeatureSet, tmp_path, users: int = 200, files: int = 3):
    folder = write_set(tmp_path, chosen, users, FIRST, files=files, group_rows=30)
    return features_for(str(folder), FIRST + datetime.timedelta(days=2))


@pytest.mark.parametrize("chosen", [WIDE, LIST, ARRAYS], ids=lambda s: s.layout)
def test_arrays_hold_the_rows_of_the_files_in_any_batches(chosen, tmp_path):
    revision = read(chosen, tmp_path)
    rows = revision.to_table().to_pylist()
    assert [r["user_id"] for r in rows] == [f"user-{n:09d}" for n in range(200)]
    assert revision.to_pandas().reset_index().columns.tolist() == revision.columns
    words = revision.vocabulary()[1:] if chosen is ARRAYS else None  # one that the vocabulary lacks
    done = 0
    for batch in revision.batches(batch_rows=7):
        mine, found = rows[done : done + batch.num_rows], arrays_of(batch, words)
        done += batch.num_rows
        if chosen is WIDE:
            names = [c for c in revision.columns if c != "user_id"]
            assert found["features"].tolist() == [[float(r[c]) for c in names] for r in mine]
            continue
        if chosen is ARRAYS:
            assert found.pop("offsets").tolist() == np.cumsum([0, *(len(r["cluster_ids"]) for r in mine)]).tolist()
            codes = [words.index(c) if c in words else len(words) for r in mine for c in r["cluster_ids"]]
            assert found.pop("cluster_codes").tolist() == codes
        for name, values in found.items():
            expected = [v for r in mine for v in r[name]]
            assert values.dtype == np.float32 and np.array_equal(values.ravel(), np.array(expected, np.float32))
            assert chosen is ARRAYS or values.shape == (len(mine), len(mine[0][name]))
    assert done == 200
    if chosen is ARRAYS:
        with pytest.raises(InputError, match="vocabulary"):
            arrays_of(next(revision.batches()))


@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_comes_once_over_workers_and_ranks(workers, tmp_path):
    revision, users, values = read(LIST, tmp_path), [], {}
    for rank in range(3):
        dataset = torch_dataset(revision, batch_rows=16, rank=rank, world_size=3)
        for batch in DataLoader(dataset, batch_size=None, num_workers=workers):
            users += batch["user_id"]
            values |= dict(zip(batch["user_id"], batch["features_30d"].tolist(), strict=True))
    assert sorted(users) == [f"user-{n:09d}" for n in range(200)]
    assert values == {r["user_id"]: r["features_30d"] for r in revision.to_table().to_pylist()}


def test_the_examples_of_the_documentation_run(tmp_path, capsys):
    for chosen in (
        FeatureSet("dense", *EVERYTHING, len(SLOTS), "list", False, False),
        FeatureSet("recent", ("click",), (7,), 5, "wide", True, False),
    ):
        write_set(tmp_path / "warehouse", chosen, 50, FIRST)
    fine = write_set(tmp_path / "warehouse", FeatureSet("fine", *EVERYTHING, None, "arrays", False, False), 50, FIRST)
    fine.rename(fine.with_name("user_features"))
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs/reading_features.md").read_text(), re.DOTALL)
    assert len(examples) >= 3
    with contextlib.chdir(tmp_path):
        for example in examples:
            exec(compile(example, "docs/reading_features.md", "exec"), {"__name__": "example"})
    assert "50 rows" in capsys.readouterr().out
