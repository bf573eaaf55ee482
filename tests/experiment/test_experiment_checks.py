"""Which clusterings' themes an experiment needs, and what it says of days and themes that are not there."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from bannermap.experiment import checks
from bannermap.experiment.timeline import DAY_US, Publication, days_since_1970
from bannermap.platform.errors import InputError
from bannermap.platform.settings import ExperimentSettings

LAST = datetime.date(2026, 3, 20)
SETTINGS = ExperimentSettings(train_days=3, test_days=2, themes=5)


def before(days: int) -> datetime.date:
    return LAST - datetime.timedelta(days=days)


def published(day: datetime.date) -> Publication:
    return Publication(day, f"c{day.day}", 1, 1, (days_since_1970(day) + 1) * DAY_US + DAY_US // 4)


def test_only_clusterings_that_impressions_can_join_are_asked_for_themes():
    """Impressions are of the 16th to the 20th; those of the 16th's first hours still join the 14th's features."""
    publications = [published(before(n)) for n in range(12)]
    assert checks.joined_clusterings(publications, LAST, SETTINGS) == [f"c{n}" for n in range(14, 21)]
    sparse = [published(before(11)), published(before(4))]
    assert checks.joined_clusterings(sparse, LAST, SETTINGS) == ["c16", "c9"]


def test_clusterings_that_lack_the_themes_are_named_with_what_all_have():
    made = {"c1": {2, 3}, "c2": {3, 5}, "c3": {3}}
    with pytest.raises(InputError, match=r"themes is 5, .*: c1, c3\. Take experiment.themes of what all of them have \(3\)"):
        checks.check_theme_slots(made, SETTINGS)
    checks.check_theme_slots(made, SETTINGS.model_copy(update={"themes": 3}))
    checks.check_theme_slots(made, SETTINGS.model_copy(update={"blocks": ("cluster", "all")}))
    checks.check_theme_slots({}, SETTINGS)


@pytest.mark.parametrize("absent", [0, 1])
def test_every_day_to_predict_has_to_be_there(absent):
    there = [before(n) for n in range(6) if n != absent]
    with pytest.raises(InputError, match=f"The event log of {before(absent)}, to be predicted"):
        checks.check_taken_in(set(there), LAST, SETTINGS)
    days = np.array([days_since_1970(d) for d in there])
    with pytest.raises(InputError, match=f"no impressions of {before(absent)}, to be predicted: .*--last-day"):
        checks.check_test_impressions(days, LAST, SETTINGS)


def test_no_other_day_has_to_be_there():
    """Days to learn from may be absent: each, and all of them."""
    for absent in ({2}, {3}, {4}, {5}, {2, 3, 4, 5}, {1}, {0}):
        there = [before(n) for n in range(6) if n not in absent]
        days = np.array([days_since_1970(d) for d in there])
        refused = [
            raises(check, of, LAST, SETTINGS)
            for check, of in ((checks.check_taken_in, there), (checks.check_test_impressions, days))
        ]
        assert refused == [not absent.isdisjoint({0, 1})] * 2, absent


def raises(check, *arguments) -> bool:
    try:
        check(*arguments)
    except InputError:
        return True
    return False
