"""Charts as static SVG inside a page: drawn by Altair, rendered by vl-convert, which needs neither browser nor network.

Colours are written as placeholders and replaced by the page's CSS variables, so one chart follows light and dark.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair

COLOURS = {
    "#000001": "var(--ink)",
    "#000002": "var(--dim)",
    "#000003": "var(--line)",
    "#000004": "var(--accent)",
    "#000005": "var(--born)",
    "#000006": "var(--merged)",
    "#000007": "var(--split)",
    "#000008": "var(--retired)",
}
INK, DIM, LINE, ACCENT, BORN, MERGED, SPLIT, RETIRED = COLOURS
WIDTH_PX, HEIGHT_PX = 330, 150
"""Plot area; with axes a chart is as wide as a phone, so its text is never scaled down there."""
VERDICT_COLOURS = {"helps": BORN, "hurts": RETIRED, "can't tell": ACCENT}
EVENT_COLOURS = {"born": BORN, "merged": MERGED, "split": SPLIT, "retired": RETIRED}


def histogram(name: str, title: str, bins: Sequence[tuple[str, int]], x_title: str, y_title: str) -> str:
    """Counts per bin, in the order given.

    Args:
        name: unique on the page; part of element ids.
        title: for the eye and for screen readers.
        bins: label and count.
        x_title: what is binned, with its unit.
        y_title: what is counted.
    """
    import altair as alt

    order = [label for label, _ in bins]
    data = alt.Data(values=[{"bin": label, "count": count} for label, count in bins])
    x = alt.X("bin:N", sort=order, title=x_title, axis=alt.Axis(labelAngle=0, labelOverlap=True, labelSeparation=14))
    y = alt.Y("count:Q", title=y_title, axis=_whole_numbers(count for _, count in bins))
    chart = alt.Chart(data).mark_bar(color=ACCENT).encode(x=x, y=y)
    told = ", ".join(f"{label}: {count:,}" for label, count in bins)
    return _svg(chart, name, title, f"{y_title} by {x_title}. {told}.")


def changes_by_day(name: str, title: str, days: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """Bars side by side per day: one for each kind of change.

    Args:
        name: unique on the page.
        title: for the eye and for screen readers.
        days: label of the day, and kind (of `EVENT_COLOURS`) -> clusters; ascending.
    """
    import altair as alt

    kinds = list(EVENT_COLOURS)
    clusters = [counts.get(kind, 0) for _, counts in days for kind in kinds]
    rows = [{"day": day, "change": kind, "clusters": counts.get(kind, 0)} for day, counts in days for kind in kinds]
    colour = alt.Scale(domain=kinds, range=list(EVENT_COLOURS.values()))
    legend = alt.Legend(orient="top", title=None, direction="horizontal")
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("day:N", sort=None, title=None, axis=_day_axis()),
            xOffset=alt.XOffset("change:N", sort=kinds),
            y=alt.Y("clusters:Q", title="clusters", axis=_whole_numbers(clusters)),
            color=alt.Color("change:N", scale=colour, legend=legend, sort=kinds),
        )
    )
    told = "; ".join(f"{day}: " + ", ".join(f"{counts.get(k, 0):,} {k}" for k in kinds) for day, counts in days)
    return _svg(chart, name, title, f"Clusters by day and change. {told}.")


def counts_by_day(name: str, title: str, days: Sequence[tuple[str, int]], y_title: str) -> str:
    """One bar per day.

    Args:
        name: unique on the page.
        title: for the eye and for screen readers.
        days: label of the day and count; ascending.
        y_title: what is counted.
    """
    import altair as alt

    data = alt.Data(values=[{"day": day, "count": count} for day, count in days])
    x = alt.X("day:N", sort=None, title=None, axis=_day_axis())
    y = alt.Y("count:Q", title=y_title, axis=_whole_numbers(count for _, count in days))
    chart = alt.Chart(data).mark_bar(color=ACCENT).encode(x=x, y=y)
    return _svg(chart, name, title, f"{y_title} by day. " + ", ".join(f"{day}: {count:,}" for day, count in days) + ".")


def rates(name: str, title: str, rows: Sequence[tuple[str, float, float, float]], overall: float) -> str:
    """Rates with their intervals, one line each, and the rate of all together as a vertical rule.

    Args:
        name: unique on the page.
        title: for the eye and for screen readers.
        rows: label, rate, lower and upper bound, all 0 to 1.
        overall: rate of all together.
    """
    import altair as alt

    values = [{"cluster": label, "rate": r, "low": low, "high": high} for label, r, low, high in rows]
    base = alt.Chart(alt.Data(values=values)).encode(y=alt.Y("cluster:N", sort=None, title=None))
    axis = alt.Axis(format="~%", tickCount=5)
    spans = base.mark_rule(color=DIM, strokeWidth=2).encode(
        x=alt.X("low:Q", title="clicks per impression", axis=axis), x2="high:Q"
    )
    points = base.mark_point(color=ACCENT, filled=True, size=45, opacity=1).encode(x="rate:Q")
    line = alt.Chart(alt.Data(values=[{"rate": overall}])).mark_rule(color=RETIRED, strokeDash=[4, 3]).encode(x="rate:Q")
    chart = alt.layer(line, spans, points).properties(height=max(60, 17 * len(rows)))
    told = "; ".join(f"{label}: {r:.2%}, {low:.2%} to {high:.2%}" for label, r, low, high in rows)
    return _svg(chart, name, title, f"Clicks per impression with 95 % interval; all together {overall:.2%}. {told}.", HEIGHT_PX)


def changed_rates(name: str, title: str, rows: Sequence[tuple[str, str, float, float]], x_title: str) -> str:
    """Rates of two windows, one line each, from a small mark (before) to a large one (now).

    Args:
        name: unique on the page.
        title: for the eye and for screen readers.
        rows: label, ``rises`` or ``falls``, rate before, rate now, both 0 to 1.
        x_title: what is told.
    """
    import altair as alt

    values = [{"cluster": label, "trend": trend, "before": before, "now": now} for label, trend, before, now in rows]
    scale = alt.Scale(domain=["rises", "falls"], range=[BORN, RETIRED])
    colour = alt.Color("trend:N", scale=scale, legend=alt.Legend(orient="top", title=None, direction="horizontal"))
    base = alt.Chart(alt.Data(values=values)).encode(y=alt.Y("cluster:N", sort=None, title=None), color=colour)
    axis = alt.Axis(format="~%", tickCount=5)
    spans = base.mark_rule(strokeWidth=2).encode(x=alt.X("before:Q", title=x_title, axis=axis), x2="now:Q")
    small, large = (
        base.mark_point(filled=True, size=size, opacity=1).encode(x=f"{when}:Q") for when, size in (("before", 18), ("now", 65))
    )
    chart = alt.layer(spans, small, large).properties(height=max(60, 17 * len(rows)))
    told = "; ".join(f"{label} {trend}: {before:.2%} to {now:.2%}" for label, trend, before, now in rows)
    return _svg(chart, name, title, f"{x_title}, before and now. {told}.", HEIGHT_PX)


def gains(name: str, title: str, rows: Sequence[tuple[str, str, float, float, float]]) -> str:
    """Gains with their intervals, one line each, and no gain as a vertical rule.

    Args:
        name: unique on the page.
        title: for the eye and for screen readers.
        rows: label, verdict (of `VERDICT_COLOURS`), gain, lower and upper bound, as shares.
    """
    import altair as alt

    values = [{"what": label, "verdict": v, "gain": g, "low": low, "high": high} for label, v, g, low, high in rows]
    scale = alt.Scale(domain=list(VERDICT_COLOURS), range=list(VERDICT_COLOURS.values()))
    colour = alt.Color("verdict:N", scale=scale, legend=alt.Legend(orient="top", title=None, direction="horizontal"))
    told_as = alt.Axis(labelLimit=WIDTH_PX // 2)
    base = alt.Chart(alt.Data(values=values)).encode(y=alt.Y("what:N", sort=None, title=None, axis=told_as), color=colour)
    axis = alt.Axis(format="~%", tickCount=5)
    spans = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="gain in log loss", axis=axis), x2="high:Q")
    points = base.mark_point(filled=True, size=45, opacity=1).encode(x="gain:Q")
    line = alt.Chart(alt.Data(values=[{"gain": 0.0}])).mark_rule(color=DIM, strokeDash=[4, 3]).encode(x="gain:Q")
    chart = alt.layer(line, spans, points).properties(height=max(60, 17 * len(rows)), width=WIDTH_PX // 2)
    told = "; ".join(f"{label}: {v}, {g:.2%}, {low:.2%} to {high:.2%}" for label, v, g, low, high in rows)
    return _svg(chart, name, title, f"Gain in log loss with 95 % interval. {told}.", HEIGHT_PX)


def _whole_numbers(counts: Iterable[int]) -> altair.Axis:
    import altair as alt

    return alt.Axis(format="~s", tickMinStep=1, tickCount=max(1, min(4, max(counts, default=1))))


def _day_axis() -> altair.Axis:
    import altair as alt

    return alt.Axis(labelAngle=0, labelOverlap=True, labelSeparation=14, ticks=False)


def _svg(chart: Any, name: str, title: str, description: str, height: int | None = None) -> str:
    import vl_convert

    size = {"width": WIDTH_PX} if height else {"width": WIDTH_PX, "height": HEIGHT_PX}
    spec = chart.properties(background="transparent", **size).configure(**_config()).to_dict()
    return _themed(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), name, title, description)


def _config() -> dict[str, Any]:
    axis = {
        "labelColor": DIM,
        "titleColor": DIM,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
    }
    return {"axis": axis, "axisX": {"grid": False}, "legend": {"labelColor": INK}, "view": {"stroke": None}, "aria": False}


def _themed(svg: str, name: str, title: str, description: str) -> str:
    """The SVG with the page's colours and fonts, ids of its own, and a title and description that are read aloud."""
    svg = re.sub(r'(?<=")#00000\d(?=")', lambda m: COLOURS[m[0]], svg)
    svg = re.sub(r' font-family="[^"]*"', "", svg)
    svg = re.sub(r'(\bid="|url\(#)([\w-]+)', rf"\1{name}-\2", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    inner = svg[svg.index(">") + 1 :]
    head = f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-title {name}-desc" '
    said = f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{html.escape(description)}</desc>'
    return f"{head}{box[0] if box else ''}>{said}{inner}"
