"""The gate before publishing: which figures of a revision contradict each other, or lie beyond what the settings let pass.

Figures are sums, so they add up over tasks; see `figures` for how they come about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bannermap.platform.settings import GateSettings
from bannermap.platform.tables import EVENT_TYPES, WINDOWS_DAYS, count_column, window_column, window_columns

PARTIALS = "partials"
CLUSTERS = "clusters"
DAY, MONTH = min(WINDOWS_DAYS), max(WINDOWS_DAYS)
NO_VALUES, REPEATED_USERS, REPEATED_CLUSTERS = "null_values", "repeated_users", "repeated_clusters"
NEGATIVE, SHRINKING = "negative_counts", "shrinking_windows"
CLICKED_PAIRS, OVERCLICKED_PAIRS, USERS = "clicked_pairs", "overclicked_pairs", "users"
Sums = Mapping[str, int]
"""Figure -> value: the constants above, totals by column name, and those of `unclustered_figure`."""


def unclustered_figure(column: str) -> str:
    """Name of the part of a total that lies under no cluster: ``clicks_7d`` -> ``unclustered_clicks_7d``."""
    return f"unclustered_{column}"


@dataclass(frozen=True)
class Figures:
    """What the gate judges.

    Attributes:
        frames: name of a frame about to be published (``clusters``, ``themes_05``) -> its sums.
        partials: sums of the partials that they were made from: totals, `NO_VALUES` and `NEGATIVE`.
        before: users and totals of the newest publication of the days before; None where there is none.
        before_day: that publication's day, for people.
    """

    frames: Mapping[str, Sums]
    partials: Sums
    before: Sums | None = None
    before_day: str = ""

    def metrics(self) -> dict[str, float]:
        """All of them by one name each."""
        named = {**self.frames, PARTIALS: self.partials, "before": self.before or {}}
        return {f"gate {frame} {figure}": float(n) for frame, sums in named.items() for figure, n in sums.items()}


@dataclass(frozen=True)
class Failure:
    """A check that did not pass.

    Attributes:
        check: its name.
        text: what was found, and the setting with its limit.
    """

    check: str
    text: str


@dataclass
class _Findings:
    limits: GateSettings
    failures: list[Failure] = field(default_factory=list)

    def at_most(self, check: str, found: float, setting: str, text: str) -> None:
        """A failure where a figure is above its setting."""
        limit = getattr(self.limits, setting)
        if found > limit:
            self.failures.append(Failure(check, f"{text} (features.gate.{setting} is {limit:g})"))


def failures(figures: Figures, limits: GateSettings) -> list[Failure]:
    """Every check that does not pass; empty where all do.

    Args:
        figures: of one revision.
        limits: the settings ``features.gate``.
    """
    findings = _Findings(limits)
    for frame, sums in {**figures.frames, PARTIALS: figures.partials}.items():
        _check_values(findings, frame, sums)
    for frame, sums in figures.frames.items():
        _check_totals(findings, frame, sums, figures.partials)
    _check_users_agree(findings, figures.frames)
    clusters = figures.frames.get(CLUSTERS, {})
    _check_clicks(findings, clusters)
    _check_unclustered(findings, clusters)
    if figures.before is not None:
        _check_changes(findings, clusters, figures.before, figures.before_day)
    return findings.failures


def _check_values(findings: _Findings, frame: str, sums: Sums) -> None:
    text = f"{frame}: {sums.get(NO_VALUES, 0)} ids, lists or counts are null or missing"
    findings.at_most("nulls", sums.get(NO_VALUES, 0), "max_null_values", text)
    users, clusters = sums.get(REPEATED_USERS, 0), sums.get(REPEATED_CLUSTERS, 0)
    text = f"{frame}: {users} rows repeat a user, and {clusters} entries repeat a cluster of their user"
    findings.at_most("duplicates", users + clusters, "max_repeated_keys", text)
    negative = sums.get(NEGATIVE, 0)
    findings.at_most("negative", negative, "max_negative_counts", f"{frame}: {negative} counts are below 0")
    shrinking = sums.get(SHRINKING, 0)
    text = f"{frame}: {shrinking} counts are smaller in a longer window than in a shorter one"
    findings.at_most("windows", shrinking, "max_shrinking_windows", text)


def _check_totals(findings: _Findings, frame: str, sums: Sums, partials: Sums) -> None:
    wrong = {c: (sums.get(c, 0), partials.get(c, 0)) for c in window_columns()}
    worst = max(wrong, key=lambda c: abs(wrong[c][0] - wrong[c][1]))
    found, expected = wrong[worst]
    text = f"{frame}: {worst} sums to {found} over clusters and unclustered, and to {expected} over the partials"
    findings.at_most("totals", abs(found - expected), "max_total_difference", text)


def _check_users_agree(findings: _Findings, frames: Mapping[str, Sums]) -> None:
    users = {frame: sums.get(USERS, 0) for frame, sums in frames.items()}
    if len(set(users.values())) > 1:
        found = ", ".join(f"{frame} {n}" for frame, n in users.items())
        difference = max(users.values()) - min(users.values())
        findings.at_most("totals", difference, "max_total_difference", f"users differ between frames: {found}")


def _check_clicks(findings: _Findings, sums: Sums) -> None:
    over, clicked = sums.get(OVERCLICKED_PAIRS, 0), sums.get(CLICKED_PAIRS, 0)
    if clicked >= findings.limits.min_compared:
        share = over / clicked
        text = f"{over} of {clicked} clusters of users with clicks have more clicks than impressions in {MONTH} days, {share:.1%}"
        findings.at_most("clicks_without_impressions", share, "max_clicks_over_impressions_share", text)


def _check_unclustered(findings: _Findings, sums: Sums) -> None:
    for window in (DAY, MONTH):
        columns = [window_column(e, window) for e in EVENT_TYPES]
        outside = sum(sums.get(unclustered_figure(c), 0) for c in columns)
        events = sum(sums.get(c, 0) for c in columns)
        if events >= findings.limits.min_compared:
            text = f"{outside} of {events} events of {_days(window)} have no cluster, {outside / events:.1%}"
            findings.at_most("unclustered", outside / events, "max_unclustered_share", text)


def _check_changes(findings: _Findings, now: Sums, before: Sums, day: str) -> None:
    for figure, what, setting in _compared():
        found, former = now.get(figure, 0), before.get(figure, 0)
        low, high = getattr(findings.limits, setting)
        if max(found, former) < findings.limits.min_compared or low * former <= found <= high * former:
            continue
        ratio = f"{found / former:.3g} times" if former else "after none, which is no multiple of"
        text = f"{found} {what}, {ratio} the {former} as of {day} (features.gate.{setting} is {low:g} to {high:g} times)"
        findings.failures.append(Failure("change", text))


def _compared() -> Iterator[tuple[str, str, str]]:
    """Figure, its words and the setting of its limits."""
    yield USERS, f"users of {_days(MONTH)}", "users_change"
    for window, setting in ((DAY, "day_events_change"), (MONTH, "month_events_change")):
        for event in EVENT_TYPES:
            yield window_column(event, window), f"{count_column(event)} of {_days(window)}", setting


def _days(window: int) -> str:
    return "the day" if window == DAY else f"{window} days"
