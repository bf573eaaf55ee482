"""What an experiment needs of its settings, its days and its clusterings; whatever lacks ends here, with the mend."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from bannermap.experiment.timeline import DAY_US, Publication, days_since_1970, newest_of_each_day, spans
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.settings import ExperimentSettings, Settings

if TYPE_CHECKING:
    import numpy as np

THEME_BLOCKS = ("theme", "themes", "theme_shares")
DAYS_SAID = 5


def first_day(last_day: datetime.date, settings: ExperimentSettings) -> datetime.date:
    """The first day of impressions."""
    return last_day - datetime.timedelta(days=settings.train_days + settings.test_days - 1)


def predicted_days(last_day: datetime.date, settings: ExperimentSettings) -> list[datetime.date]:
    """The days that are predicted, ascending: the last so many up to the job's day, whatever the log has."""
    return [last_day - datetime.timedelta(days=n) for n in reversed(range(settings.test_days))]


def check_themes(settings: Settings) -> None:
    """Have the themes that are counted be made by the clustering.

    Raises:
        ConfigError: they are not.
    """
    k, made = settings.experiment.themes, settings.clustering.theme_counts
    if k not in made:
        raise ConfigError(
            f"experiment.themes is {k} and clustering.theme_counts makes {', '.join(map(str, made)) or 'none'}: "
            "take one of those, or add it there."
        )


def check_taken_in(complete: Collection[datetime.date], last_day: datetime.date, settings: ExperimentSettings) -> None:
    """Have every test day be taken in, to its end.

    Args:
        complete: days of the event log that are.
        last_day: of the job.
        settings: of the experiment.

    Raises:
        InputError: one is not.
    """
    absent = [d for d in predicted_days(last_day, settings) if d not in complete]
    if absent:
        raise InputError(
            f"The event log of {_listed(absent)}, to be predicted, was not taken in, or not to its end: run build_user_features "
            "for it, or take an earlier --date or fewer experiment.test_days."
        )


def check_test_impressions(days: np.ndarray, last_day: datetime.date, settings: ExperimentSettings) -> None:
    """Have impressions on every test day: the days before must not be predicted in place of one that has none.

    Args:
        days: int64 (n,), those of the impressions, days since 1970.
        last_day: of the job.
        settings: of the experiment.

    Raises:
        InputError: a day has none.
    """
    shown = set(days.tolist())
    absent = [d for d in predicted_days(last_day, settings) if days_since_1970(d) not in shown]
    if absent:
        raise InputError(
            f"There are no impressions of {_listed(absent)}, to be predicted: bring in its events, or take an earlier last day "
            "(--date, of plain files --last-day) or fewer experiment.test_days."
        )


def joined_clusterings(publications: Sequence[Publication], last_day: datetime.date, settings: ExperimentSettings) -> list[str]:
    """Clusterings whose features the impressions may join, or would have by their own day's.

    Args:
        publications: all.
        last_day: of impressions.
        settings: of the experiment.
    """
    first = first_day(last_day, settings)
    begin, end = days_since_1970(first) * DAY_US, (days_since_1970(last_day) + 1) * DAY_US
    places = {s.place for s in spans(publications) if s.from_us < end and s.to_us > begin}
    places |= {place for day, place in newest_of_each_day(publications).items() if first <= day <= last_day}
    return sorted({publications[place].clustering_id for place in places})


def check_theme_slots(made: Mapping[str, Collection[int]], settings: ExperimentSettings) -> None:
    """Have the clusterings hold as many themes as are counted: where one lacks them, all of its theme features would be 0.

    Args:
        made: clustering -> its numbers of themes; of those with clusters that impressions join.
        settings: of the experiment.

    Raises:
        InputError: one lacks them.
    """
    absent = sorted(name for name, counts in made.items() if settings.themes not in counts)
    if absent and set(settings.blocks) & set(THEME_BLOCKS):
        common = sorted(set.intersection(*map(set, made.values())))
        raise InputError(
            f"experiment.themes is {settings.themes}, and clusterings that impressions join were made without so many themes: "
            f"{_listed(absent)}. Take experiment.themes of what all of them have ({', '.join(map(str, common)) or 'none'}), or "
            "later days (--date, experiment.train_days) whose impressions join newer clusterings only."
        )


def _listed(names: Sequence[object]) -> str:
    shown = ", ".join(map(str, names[:DAYS_SAID]))
    return shown + (f" and {len(names) - DAYS_SAID} more" if len(names) > DAYS_SAID else "")
