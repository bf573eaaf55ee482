"""Prometheus text of runs, read by a parser of its own that follows the format's description."""

from __future__ import annotations

import datetime
import re

import numpy as np
import pytest

from bannermap.platform.metrics_text import as_prometheus, write_metrics

BEGAN = datetime.datetime(2026, 3, 2, 4, 0, tzinfo=datetime.UTC)
ENDED = BEGAN.timestamp() + 60.0


def parsed(text: str) -> dict[tuple, float]:
    """(name, labels) -> value; refuses what the format does not allow."""
    found: dict[tuple, float] = {}
    typed: set[str] = set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("#"):
            _, kind, name, rest = line.split(" ", 3)
            assert kind in ("HELP", "TYPE") and (kind == "HELP" or (rest == "gauge" and name not in typed))
            typed |= {name} if kind == "TYPE" else set()
            continue
        whole = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)', line)
        assert whole and whole[1] in typed, line
        labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', whole[2])
        plain = tuple((n, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v)) for n, v in labels)
        assert (whole[1], plain) not in found
        found[whole[1], plain] = float(whole[3])
    return found


def row(**more):
    empty = {"rejected": {}, "metrics": {}, "phase_seconds": {}, "rows_in": 3, "rows_out": 2}
    return {"job": "j", "dt": BEGAN.date(), "status": "succeeded", "started_at": BEGAN, "seconds": 60.0, **empty, **more}


@pytest.mark.parametrize("seed", range(20))
def test_every_figure_can_be_read_back_whatever_it_is_called(seed):
    rng = np.random.default_rng(seed)
    letters = np.array(list('ab"\\\n {},=é#'))
    names = {"".join(rng.choice(letters, size=5)) for _ in range(6)}
    metrics = {n: float(rng.choice([rng.normal() * 10.0 ** rng.integers(-9, 12), np.inf, 0.0])) for n in names}
    rejected = {n: int(rng.integers(10**12)) for n in names}
    found = parsed(as_prometheus(row(metrics=metrics, rejected=rejected, phase_seconds=dict.fromkeys(names, 1.5)), None))
    own = ("job", "j")
    assert {k[1][1][1]: v for k, v in found.items() if k[0] == "bannermap_run_figure"} == metrics
    assert {k[1][1][1]: v for k, v in found.items() if k[0] == "bannermap_run_rejected_rows"} == rejected
    assert found["bannermap_run_rows", (own, ("direction", "out"))] == 2.0
    assert found["bannermap_run_ended_timestamp_seconds", (own,)] == ENDED
    assert found["bannermap_run_day_timestamp_seconds", (own,)] == BEGAN.timestamp() - 4 * 3600


def test_a_failed_run_leaves_word_of_when_one_last_succeeded(tmp_path):
    success = ("bannermap_run_last_success_timestamp_seconds", (("job", "j"),))
    folder = tmp_path / "made/here"
    failed = row(status="failed", started_at=BEGAN + datetime.timedelta(hours=1))
    assert success not in parsed(write_metrics(str(folder), failed).read_text())
    for given, expected in ((row(), 1.0), (failed, 0.0), (failed, 0.0)):
        found = parsed(write_metrics(str(folder), given).read_text())
        assert found[success] == ENDED and found["bannermap_run_succeeded", (("job", "j"),)] == expected
    assert [p.name for p in folder.iterdir()] == ["bannermap_j.prom"]
    (folder / "bannermap_j.prom").write_bytes(b"\xff not ours")
    assert success not in parsed(write_metrics(str(folder), failed).read_text())
