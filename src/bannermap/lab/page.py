"""The page of a comparison: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bannermap.lab.comparing import TRUST, Compared
from bannermap.lab.mosaics import Mosaic, Sheets
from bannermap.lab.naming import file_name
from bannermap.lab.places import Places, places_of

if TYPE_CHECKING:
    import altair

TEMPLATE = Path(__file__).parent / "templates" / "comparison.html"
MEASURES = (
    *("clusters", "outlier_share", "largest_share", "silhouette", "silhouette_with_outliers", "balance", "composite"),
    *("davies_bouldin", "density_validity", "advertiser_ami", "pairs_right", "targets_clustered", "targets_silhouette"),
    *("held_out_silhouette", "truth_ari"),
)
SHOWN = 3
"""Clusterings that have a scatter and a chart of sizes, side by side."""
SHEET_CLUSTERS = 6
"""Mosaics of each in the page; all of them lie beside it."""
SHOWN_TARGETS = 12
"""Pictures that are asked for by name, in the page; summary.json has all of them."""
NAME_CHARACTERS = 12
"""Of a picture that is not drawn; the rest shows when a pointer rests on it."""
DOTS, COLOURS, BARS = 1500, 12, 40
"""Of a scatter: pictures, and clusters with a colour of their own, the largest; of a chart of sizes: clusters."""
WIDTH_PX, HEIGHT_PX = 320, 220
PALETTE = (
    *("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948"),
    *("#b07aa1", "#ff9da7", "#9c755f", "#17becf", "#8cd17d", "#499894"),
)


@dataclass(frozen=True)
class Chart:
    """A picture as markup, and what it shows, in words."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Sheet:
    """Of a configuration: mosaics that are in the page, how many there are, and the folder with all of them."""

    tiles: Sequence[Chart]
    mosaics: int
    folder: str


def page(
    name: str,
    known: int,
    done: Sequence[Compared],
    told: Sequence[Mapping[str, Any]],
    scatter_by: str,
    sheets: Sheets | None = None,
) -> str:
    """The page as HTML; names in it are escaped.

    Args:
        name: of the comparison.
        known: pictures before the sample.
        done: encoders.
        told: their parts of summary.json, in the same order.
        scatter_by: see `places_of`.
        sheets: mosaics and named pictures, where there are any.
    """
    import jinja2

    sheets, environment = sheets or Sheets(), jinja2.Environment(autoescape=True, trim_blocks=True)
    parts = []
    for found, text in zip(done, told, strict=True):
        ranked = [c for c in text["configurations"] if c["status"] == "ranked"]
        others = [c for c in text["configurations"] if c["status"] != "ranked"]
        shown = _sheets_shown(found, sheets)
        parts.append({"told": text, "ranked": ranked, "others": others, "charts": charts(found, scatter_by), "sheets": shown})
    present = [m for m in MEASURES if any(m in c["figures"] for part in parts for c in part["ranked"])]
    template = environment.from_string(TEMPLATE.read_text())
    own = {"measures": present, "number": number, "shown_targets": SHOWN_TARGETS, "picture": lambda n: picture(n, sheets.tiles)}
    return template.render(name=name, known=f"{known:,}", trust=TRUST, parts=parts, **own)


def shown_names(done: Compared) -> list[str]:
    """Configurations with pictures: the best of each strategy, best first, then the next best, whatever their strategy."""
    ranked = done.outcome.ranked
    first = {t.configuration.strategy: t for t in reversed(ranked)}  # the last to be noted is the best
    order = sorted(ranked, key=lambda t: first[t.configuration.strategy] is not t)
    return [t.name for t in order[:SHOWN]]


def _sheets_shown(done: Compared, sheets: Sheets) -> dict[str, Sheet]:
    """Configuration -> its mosaics; those without any are left out."""
    found = {name: sheets.mosaics.get((done.encoder_id, name), []) for name in shown_names(done)}
    return {
        name: Sheet([tile(m) for m in of[:SHEET_CLUSTERS]], len(of), f"mosaics/{file_name(done.encoder_id)}/{file_name(name)}/")
        for name, of in found.items()
        if of
    }


def tile(mosaic: Mosaic) -> Chart:
    """A mosaic as an image element of its own and what it shows."""
    text = f"cluster {mosaic.chosen.label}, {mosaic.chosen.share:.1%}"
    return Chart(f'<img alt="{text}" src="{_source(mosaic.webp)}">', text)


def picture(name: str, tiles: Mapping[str, bytes]) -> str:
    """A picture as markup: itself where there is one, else the first characters of its name."""
    said = html.escape(name)
    if name not in tiles:
        return f'<code title="{said}">{html.escape(name[:NAME_CHARACTERS])}</code>'
    return f'<img alt="{said}" title="{said}" src="{_source(tiles[name])}">'


def _source(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def number(value: float | None) -> str:
    """Three digits behind the point, fewer of large ones; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3f}"


def charts(done: Compared, scatter_by: str) -> list[Chart]:
    """Score against cost, the learning curve, and of the best a scatter and sizes; those without data are left out."""
    fitted = [t for t in done.outcome.trials if t.found and np.isfinite(t.score)]
    result = [score_against_cost([(t.configuration.strategy, t.seconds, t.score) for t in fitted])] if fitted else []
    if done.curve.points:
        result.append(curve_chart(done))
    names = shown_names(done)
    if names:
        places = places_of(done.pictures.vectors, scatter_by, DOTS)
        for name in names:
            result += [scatter(places, done.labels[name], name), size_chart(done.labels[name], name)]
    return result


def score_against_cost(rows: Sequence[tuple[str, float, float]]) -> Chart:
    """A dot per configuration: strategy, seconds, score."""
    import altair as alt

    data = alt.Data(values=[{"strategy": n, "seconds": max(s, 0.001), "score": v} for n, s, v in rows])
    chart = alt.Chart(data).mark_point(filled=True, size=60)
    x = alt.X("seconds:Q", scale=alt.Scale(type="log"), title="seconds of the fit")
    drawn = chart.encode(x=x, y=alt.Y("score:Q", title="score"), color="strategy:N")
    return Chart(_svg(drawn), "Score against cost: one dot per configuration that was fitted on the whole sample.")


def curve_chart(done: Compared) -> Chart:
    """Agreement and held-out silhouette by number of pictures, in parts by banners and by days."""
    import altair as alt

    curve, named = done.curve, {"agreement": "agreement with all", "held_out_silhouette": "held-out silhouette"}
    values = [
        {"pictures": p.pictures, "value": getattr(p, m), "what": f"{text}, by {p.by}"}
        for p in curve.points
        for m, text in named.items()
    ]
    chart = alt.Chart(alt.Data(values=[v for v in values if np.isfinite(v["value"])])).mark_line(point=True)
    drawn = chart.encode(x=alt.X("pictures:Q"), y=alt.Y("value:Q", title=None), color=alt.Color("what:N", title=None))
    answer = " ".join(e.reason for e in curve.enough)
    parts = [
        f"{p.pictures:,} pictures of {'1 day' if p.days == 1 else f'{p.days} days'}: agreement {p.agreement:.2f}"
        for p in curve.points
        if np.isfinite(p.agreement)
    ]
    return Chart(_svg(drawn), f"How much data is enough? {answer} {curve.means} {'; '.join(parts) or 'No part was fitted'}.")


def scatter(places: Places, labels: np.ndarray, name: str) -> Chart:
    """A dot a picture; the largest clusters in colours, others and outliers in grey."""
    import altair as alt

    found, sizes = np.unique(labels[labels >= 0], return_counts=True)
    largest = set(found[np.argsort(-sizes, kind="stable")[:COLOURS]].tolist())
    values = [
        {"x": float(x), "y": float(y), "cluster": str(c) if c in largest else "other"}
        for (x, y), c in zip(places.points, labels[places.rows].tolist(), strict=True)
    ]
    domain = [*map(str, sorted(largest)), "other"]
    colours = [PALETTE[i % COLOURS] for i in range(len(largest))]
    colour = alt.Color("cluster:N", scale=alt.Scale(domain=domain, range=[*colours, "#d0d0d0"]), legend=None)
    chart = alt.Chart(alt.Data(values=values)).mark_circle(size=14, opacity=0.7)
    x, y = (alt.X("x:Q", title=places.axes[0]), alt.Y("y:Q", title=places.axes[1]))
    text = f"{name}: {len(places.rows):,} pictures; the {len(largest)} largest clusters in colours.{places.remark}"
    return Chart(_svg(chart.encode(x=x, y=y, color=colour)), text)


def size_chart(labels: np.ndarray, name: str) -> Chart:
    """Shares of all pictures in the largest clusters."""
    import altair as alt

    sizes = np.sort(np.unique(labels[labels >= 0], return_counts=True)[1])[::-1]
    shares = sizes[:BARS] / max(len(labels), 1)
    data = alt.Data(values=[{"place": i, "share": float(s)} for i, s in enumerate(shares, 1)])
    x, y = alt.X("place:O", title="cluster, by size", axis=alt.Axis(labels=False)), alt.Y("share:Q", title="share of pictures")
    caption = f"{name}: sizes of {len(shares)} of {len(sizes)} clusters; {(labels < 0).mean():.1%} of the pictures are in none."
    return Chart(_svg(alt.Chart(data).mark_bar().encode(x=x, y=y)), caption)


def _svg(chart: altair.Chart) -> str:
    """Without ids, of which a page could have only one of each, and what refers to them."""
    import vl_convert

    spec = chart.properties(width=WIDTH_PX, height=HEIGHT_PX, background="transparent").to_dict()
    return re.sub(r' (id|clip-path)="[^"]*"', "", vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))
