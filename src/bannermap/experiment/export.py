"""The rows of the experiment as FuxiCTR reads them: three CSV files and a dataset configuration.

FuxiCTR's form (its ``dataset_config.yaml``): per dataset ``data_format``, the three paths, ``feature_cols`` with name, dtype and
type (categorical, numeric, or meta for the group of the grouped AUC), and ``label_col``. Paths are relative to the folder.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml

from bannermap.experiment.assembling import SLICES
from bannermap.experiment.evaluation import in_test_days
from bannermap.platform.whole_files import system_of, write_whole

CATEGORIES = (*SLICES, "banner_id", "hour")
FOLDER = "fuxictr"
PARTS = ("train", "valid", "test")


def split_for_export(day: np.ndarray, test_days: int) -> np.ndarray:
    """0, 1 or 2 for each row: train, valid, test. The last training day is for validation; with one training day it is train too.

    Args:
        day: int64 (n,).
        test_days: days up to the newest row's that are for the test.
    """
    test = in_test_days(day, test_days)
    learned = np.unique(day[~test])
    return np.where(test, 2, np.where((day == learned.max(initial=0)) & (len(learned) > 1), 1, 0))


def dataset_config(dataset_id: str, features: Sequence[str]) -> dict[str, Any]:
    """The dataset's entry of FuxiCTR's configuration."""
    columns = [
        {"name": list(CATEGORIES), "active": True, "dtype": "str", "type": "categorical"},
        {"name": list(features), "active": True, "dtype": "float", "type": "numeric"},
        {"name": "group_id", "active": True, "dtype": "str", "type": "meta"},
    ]
    files = {f"{part}_data": f"./{part}.csv" for part in PARTS}
    label = {"label_col": {"name": "click", "dtype": "float"}, "group_id": "group_id"}
    body = {"data_root": "./", "data_format": "csv", **files, "min_categr_count": 1, "feature_cols": columns, **label}
    return {dataset_id: body}


def write_export(folder: str, dataset_id: str, rows: Any, features: np.ndarray, names: Sequence[str], part: np.ndarray) -> None:
    """Write ``train.csv``, ``valid.csv``, ``test.csv`` and ``dataset_config.yaml``.

    Users are numbers of this export alone, so nobody can be found by them in another one or in a table.

    Args:
        folder: path or address.
        dataset_id: name of the dataset.
        rows: pandas frame of the collected impressions.
        features: float32 (n, features).
        names: theirs.
        part: see `split_for_export`.
    """
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv

    hour = (rows["event_us"] // 3_600_000_000 % 24).astype(str)
    categories = {c: rows[c].fillna("").astype(str) if c != "hour" else hour for c in CATEGORIES}
    user = pd.factorize(rows["user_id"])[0].astype(str)
    head = pd.DataFrame({"click": rows["clicked"].astype(int), "group_id": user, **categories})
    table = pd.concat([head.reset_index(drop=True), pd.DataFrame(features, columns=list(names))], axis=1)
    system, path = system_of(folder)
    for number, name in enumerate(PARTS):
        chosen = part == (0 if name == "valid" and not (part == 1).any() else number)
        mine = pa.Table.from_pandas(table[chosen], preserve_index=False)
        write_whole(system, f"{path}/{name}.csv", functools.partial(csv.write_csv, mine))
    text = yaml.safe_dump(dataset_config(dataset_id, names), sort_keys=False).encode()
    write_whole(system, f"{path}/dataset_config.yaml", lambda stream: stream.write(text))
