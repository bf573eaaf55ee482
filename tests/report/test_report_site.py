"""All pages of a run or none, and never anybody else's files."""

from __future__ import annotations

import pytest

from bannermap.platform.errors import InputError
from bannermap.report.site import local_folder, publish

OLD = {"index.html": "old", "clusters-001.html": "old", "clusters-002.html": "old"}
NEW = {"index.html": "new"}


def contents(folder) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir()}


def test_pages_of_an_earlier_run_are_gone(tmp_path):
    folder = tmp_path / "deep" / "report"
    for files in (OLD, NEW, OLD):
        publish(local_folder(str(folder)), files)
        assert contents(folder) == files
    assert [p.name for p in folder.parent.iterdir()] == ["report"]


@pytest.mark.parametrize("left", [["staging"], ["former"], ["staging", "former"]])
@pytest.mark.parametrize("standing", [True, False])
def test_what_a_killed_run_left_does_not_disturb_the_next(tmp_path, left, standing):
    folder = tmp_path / "report"
    if standing:
        publish(folder, OLD)
    for kind in left:
        (tmp_path / f"report.{kind}").mkdir()
        (tmp_path / f"report.{kind}" / "clusters-009.html").write_text("half")
    publish(folder, NEW)
    assert contents(folder) == NEW
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.docx"):
        local_folder(str(tmp_path))
    assert contents(tmp_path) == {"thesis.docx": "mine"}


def test_an_address_elsewhere_is_refused():
    with pytest.raises(InputError, match="local folders only"):
        local_folder("s3://bucket/report")
