"""Pictures of a comparison's best clusterings, from the stored bytes: mosaics of clusters, and what is asked for by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bannermap.lab.comparing import Compared
from bannermap.lab.labels import coded
from bannermap.lab.mosaics import CLUSTERS, TILE_PX, Chosen, LeftOut, Sheets, chosen_pictures, mosaics
from bannermap.lab.page import SHOWN_TARGETS, shown_names
from bannermap.platform.runs import JobContext, say
from bannermap.platform.storage import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Drawing = Callable[[Warehouse, str | None, "DataFrame"], Mapping[str, bytes]]
"""Tables, ``fetch.image_cache``, pixel_hash and side -> pixel_hash to thumbnail, of each that can be drawn."""
Wanted = Mapping[tuple[str, str], Sequence[Chosen]]
"""encoder_id, configuration -> clusters, the largest first."""


def contact_sheets(context: JobContext, done: Sequence[Compared], draw: Drawing) -> Sheets:
    """Mosaics of the configurations that the page shows, and the named pictures that it shows.

    Pictures without stored bytes, as of imported vectors, are left out; each is read and drawn once, in the tasks. The driver
    holds the drawn ones, about 3 KB each: nine of a cluster.
    """
    wanted, single = wanted_mosaics(done, context.settings.lab.mosaic_clusters), _named(done)
    names = sorted({n for clusters in wanted.values() for c in clusters for n in c.names} | single)
    if not names:
        return Sheets()
    tiles = _tiles(context, names, draw)
    made = {key: mosaics(clusters, tiles) for key, clusters in wanted.items()}
    left_out = {d.encoder_id: found for d in done if (found := _left_out(d, wanted, {k: len(m) for k, m in made.items()}))}
    for encoder_id, found in left_out.items():
        _say_left_out(context, encoder_id, found)
    return Sheets({key: sheet for key, sheet in made.items() if sheet}, left_out, {n: tiles[n] for n in single if n in tiles})


def wanted_mosaics(done: Sequence[Compared], most: int) -> Wanted:
    """Clusters to draw: of each encoder's recommended configuration the ``most`` largest, of others that the page shows few."""
    return {
        (d.encoder_id, name): chosen_pictures(
            d.pictures.vectors, d.labels[name], d.pictures.names, most if name == d.outcome.recommendation.chosen else CLUSTERS
        )
        for d in done
        for name in shown_names(d)
    }


def _named(done: Sequence[Compared]) -> set[str]:
    return {name for d in done for t in d.targets[:SHOWN_TARGETS] for name in (t.node_id, *t.nearest)}


def _tiles(context: JobContext, names: Sequence[str], draw: Drawing) -> Mapping[str, bytes]:
    warehouse = context.warehouse
    asked = warehouse.spark.createDataFrame([(n, TILE_PX) for n in names], "pixel_hash string, side int")
    return draw(warehouse, context.settings.fetch.image_cache, asked)


def _left_out(done: Compared, wanted: Wanted, drawn: Mapping[tuple[str, str], int]) -> LeftOut | None:
    """None where nothing is recommended."""
    name = done.outcome.recommendation.chosen
    if name is None:
        return None
    key = done.encoder_id, name
    return LeftOut(coded(done.labels[name]).clusters - len(wanted[key]), len(wanted[key]) - drawn[key])


def _say_left_out(context: JobContext, encoder_id: str, found: LeftOut) -> None:
    why = {
        f"beyond lab.mosaic_clusters {context.settings.lab.mosaic_clusters:,}": found.beyond_setting,
        "without stored bytes of their pictures": found.without_pictures,
    }
    if counts := ", ".join(f"{count:,} {reason}" for reason, count in why.items() if count):
        say(f"{context.title}: clusters that have no mosaic, of what is recommended for vectors by {encoder_id}: {counts}")
