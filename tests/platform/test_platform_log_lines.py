"""Lines on what goes on: text for people; JSON, an object a line, with the run that says it."""

from __future__ import annotations

import contextlib
import datetime
import json

import pytest
from repository import ROOT

from bannermap.platform import log_lines
from bannermap.platform.cli import Stage, config_main, run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.runs import say

DAY = datetime.date(2026, 3, 1)


@pytest.fixture
def as_json():
    log_lines.choose(log_lines.JSON)
    yield
    log_lines.choose(log_lines.TEXT)


def test_text_is_for_people(capsys):
    with log_lines.said_of(run_id="1"):
        say("three of four")
        log_lines.write("it broke", "error")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("[bannermap] three of four\n", "[bannermap] it broke\n")


def test_json_has_the_run_as_long_as_it_speaks_and_a_line_for_lines(as_json, capsys):
    with log_lines.said_of(run_id="1", phase="a"), log_lines.said_of(phase="b"):
        say('two\nlines with "quotes" and é')
    say("after")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    moment = datetime.datetime.fromisoformat(first.pop("time"))
    assert moment.utcoffset() == datetime.timedelta(0)
    assert first == {"level": "info", "run_id": "1", "phase": "b", "message": 'two\nlines with "quotes" and é'}
    assert second.keys() == {"time", "level", "message"}


def test_runs_that_end_in_the_order_they_began_leave_nothing_behind(as_json, capsys):
    first, second = log_lines.said_of(run_id="1", dt="2026-03-01"), log_lines.said_of(run_id="2")
    with contextlib.ExitStack() as both:
        first.__enter__()
        both.enter_context(second)
        first.__exit__(None, None, None)
        say("of the second")
    say("of none")
    of_second, of_none = map(json.loads, capsys.readouterr().out.splitlines())
    assert of_second["run_id"] == "2" and "dt" not in of_second
    assert of_none.keys() == {"time", "level", "message"}


def test_what_ends_a_command_is_an_error_of_its_job(as_json, capsys, monkeypatch, tmp_path):
    def refuse(settings):
        raise InputError("nothing there")

    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.setenv("BANNERMAP_HOME", str(tmp_path))
    assert config_main("look", "about", refuse, ["--set", "monitoring.log_format=json"]) == 3
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "error" and line["job"] == "look" and "nothing there" in line["message"]


@pytest.mark.slow
def test_every_line_of_a_run_names_it_and_its_phase(as_json, capsys, warehouse, base_settings):
    def work(context):
        with context.phase("think"):
            say("thinking")

    made = run_stage(Stage("try_it", work, ("think",)), warehouse, base_settings, DAY)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(line["run_id"], line["job"], line["dt"]) for line in lines} == {(made.run_id, "try_it", str(DAY))}
    assert [line.get("phase") for line in lines if "think" in line["message"]] == ["think", "think"]
    assert "rows in" in lines[-1]["message"] and "phase" not in lines[-1]
