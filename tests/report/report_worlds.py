"""Random but consistent tables of a clustering, with drawn pictures; its rows are also what the oracle reads."""

from __future__ import annotations

import datetime
import io
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFilter
from pyspark.sql.pandas.types import to_arrow_schema

from bannermap.platform import tables
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import Table
from bannermap.report.gather_analyses import SLICES_SHOWN

LAST = datetime.date(2026, 3, 4)
DAYS = [LAST - datetime.timedelta(days=back) for back in (3, 2, 1, 0)]
HOSTILE = "<script>document.title='owned'</script>\"'&</script><!--"
SIZES = [(300, 250), (728, 90), (160, 600), (320, 50), (250, 250)]
FILES = 120
"""Different drawn files; more pictures than this share them, since drawing is what takes time."""
CURRENT, SUPERSEDED, BEFORE, FIRST = "2026-03-04-cur", "2026-03-04-old", "2026-03-03-abc", "2026-03-02-abc"
USERS = 4


def drawn_file(number: int) -> bytes:
    """A banner with a ramp, a photo-like patch, shapes and words; JPEG."""
    rng = np.random.default_rng(number)
    size = SIZES[number % len(SIZES)]
    ground = tuple(int(v) for v in rng.integers(0, 256, 3))
    image = Image.composite(
        Image.new("RGB", size, ground), Image.new("RGB", size, "white"), Image.linear_gradient("L").resize(size)
    )
    patch = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize((size[0] // 2, size[1] * 3 // 4))
    image.paste(patch.filter(ImageFilter.GaussianBlur(2)), (size[0] // 20, size[1] // 8))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, r = (float(v) for v in rng.uniform(0, 1, 3) * (size[0], size[1], min(size) / 4))
        draw.ellipse((x, y, x + r, y + r), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    draw.text((size[0] * 0.55, size[1] * 0.3), f"OFFER {number}", fill="black")
    target = io.BytesIO()
    image.save(target, "JPEG", quality=70)
    return target.getvalue()


@dataclass
class World:
    """Rows by table name; `frame` gives them as pandas."""

    rng: np.random.Generator
    rows: dict[str, list[dict]] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)

    def add(self, table: Table, **row) -> None:
        self.rows.setdefault(table.name, []).append({c: row.get(c) for c in table.columns})

    def frame(self, table: Table) -> pd.DataFrame:
        return pd.DataFrame(self.rows.get(table.name, []), columns=list(table.columns))

    def write(self, warehouse: Warehouse, folder: Path, without: tuple[Table, ...] = ()) -> None:
        """Store every table that has rows, but those left out."""
        by_name = {t.name: t for t in tables.ALL_TABLES}
        for name, rows in self.rows.items():
            table = by_name[name]
            if table in without:
                continue
            file = folder / f"{name}.parquet"
            pq.write_table(pa.Table.from_pylist(rows, to_arrow_schema(table.schema, timezone="UTC")), file)
            warehouse.append(table, warehouse.spark.read.schema(table.schema).parquet(str(file)))

    def name(self) -> str:
        return self.rng.bytes(16).hex()


@dataclass
class Group:
    """A cluster on its way into the tables."""

    cluster_id: str
    path: list[str]
    pictures: list[str] = field(default_factory=list)
    banners: list[str] = field(default_factory=list)


def draw_world(clusters: int, seed: int) -> World:
    """A world of about so many clusters."""
    world = World(np.random.default_rng(seed), files=[drawn_file(i) for i in range(min(FILES, 8 * clusters))])
    groups, holders = _groups(world, clusters)
    for group in groups:
        _add_members(world, group)
    for i in range(max(3, clusters // 2)):
        path = [] if i % 5 == 0 else holders[int(world.rng.integers(len(holders)))] if holders else []
        _add_banner(world, _add_picture(world), None, path, None)
    _add_failures(world)
    _add_left_out(world)
    _add_clusterings(world, groups)
    _add_themes(world)
    _add_duplicates(world, groups)
    _add_lineage(world, groups)
    _add_clicks(world, groups)
    _add_analytics(world, groups)
    _add_experiments(world)
    _add_strategies(world)
    return world


def _groups(world: World, clusters: int) -> tuple[list[Group], list[list[str]]]:
    """Clusters with their paths, and the paths of groups that were cut."""
    groups: list[Group] = []
    holders: list[list[str]] = []
    while len(groups) < clusters:
        kind, root = world.rng.random(), world.name()
        paths = [[]] if kind < 0.4 else [[root]] * int(world.rng.integers(2, 6))
        if kind > 0.8:
            middle = world.name()
            paths += [[root, middle]] * 3
            holders.append([root, middle])
        if kind >= 0.4:
            holders.append([root])
        for path in paths[: clusters - len(groups)]:
            own = world.name()
            groups.append(Group(own, [*path, own]))
    return groups, holders


def _add_picture(world: World) -> str:
    """A new picture: its rows in image_bytes and embeddings; fetches come with its banners."""
    pixel_hash, number = world.name() + world.name(), len(world.rows.get("image_bytes", []))
    world.add(tables.IMAGE_BYTES, content_hash=f"c{pixel_hash}", data=world.files[number % len(world.files)])
    looked = np.random.default_rng(number).integers(0, 256, 256, dtype=np.uint8).tobytes() if number % 4 else None
    world.add(tables.EMBEDDINGS, encoder_id="perceptual", content_hash=f"c{pixel_hash}", vector=[1.0], emphasis=looked)
    world.add(tables.EMBEDDINGS, encoder_id="other", content_hash=f"c{pixel_hash}", vector=[1.0], emphasis=bytes(256))
    return pixel_hash


def _add_banner(world: World, pixel_hash: str, cluster: str | None, path: list[str], similarity: float | None) -> str:
    banner = world.name()
    advertiser = [None, HOSTILE, *(f"Brand {i}" for i in range(12))][int(world.rng.integers(14))]
    active = [d for d in DAYS if world.rng.random() < 0.5] or [LAST]
    address = f"https://ads.example/{banner[:10]}.jpg"
    for day in active:
        row = {"dt": day, "banner_id": banner, "image_url": address, "advertiser_id": advertiser}
        world.add(tables.BANNER_DAYS, **row, log_rows=int(world.rng.integers(1, 5)), conflicting_attributes=0)
    known = {"banner_id": banner, "image_url": address, "fetched_dt": active[0], "width": 300, "height": 250}
    known["frames"] = 2 if int(pixel_hash[:2], 16) % 5 == 0 else 1
    world.add(
        tables.IMAGE_FETCHES, **known, status="ok", content_hash=f"c{pixel_hash}", pixel_hash=pixel_hash, bytes=9, format="jpeg"
    )
    member = {"banner_id": banner, "pixel_hash": pixel_hash, "cluster_id": cluster, "path": path, "is_outlier": cluster is None}
    world.add(tables.CLUSTER_MEMBERS, clustering_id=CURRENT, **member, similarity_to_medoid=similarity)
    return banner


def _add_members(world: World, group: Group) -> None:
    pictures = int(world.rng.integers(2, 7))
    for i in range(pictures):
        pixel_hash = _add_picture(world)
        group.pictures.append(pixel_hash)
        similarity = 1.0 if i == 0 else round(float(world.rng.uniform(0.8, 0.999)), 5)
        for _ in range(int(world.rng.integers(1, 4))):
            group.banners.append(_add_banner(world, pixel_hash, group.cluster_id, group.path, similarity))
    depth = len(group.path) - 1
    figures = {"cohesion": float(world.rng.uniform(0.7, 1.0)), "threshold": 0.75 + 0.05 * depth, "depth": depth}
    parent = group.path[-2] if depth else None
    identity = {
        "cluster_id": group.cluster_id,
        "medoid": group.pictures[0],
        "parent": parent,
        "born_dt": DAYS[int(world.rng.integers(1, 4))],
    }
    world.add(tables.CLUSTERS, clustering_id=CURRENT, **identity, **figures, size=len(group.banners), nodes=pictures)


def _add_failures(world: World) -> None:
    for i in range(15):
        banner, address = world.name(), HOSTILE if i == 0 else f"https://gone.example/{i:02d}.png"
        world.add(tables.BANNER_DAYS, dt=LAST, banner_id=banner, image_url=address, log_rows=1, conflicting_attributes=0)
        status, error = ("truncated", HOSTILE) if i < 12 else ("not_found", "404")
        world.add(tables.IMAGE_FETCHES, banner_id=banner, image_url=address, status=status, error=error, fetched_dt=LAST)
    world.add(tables.REJECTS, job="dedupe_banners", dt=LAST, reason="no_banner_id_and_no_image_url", row_json="{}", rows=5)


def _add_left_out(world: World) -> None:
    """A member whose old address failed, banners that came late, have no vector, or were not seen for too long."""
    tried = {"image_url": "https://old.example/1.png", "status": "not_found", "error": "404"}
    world.add(tables.IMAGE_FETCHES, banner_id=world.rows["cluster_members"][0]["banner_id"], fetched_dt=DAYS[0], **tried)
    world.add(tables.IMAGE_FETCHES, banner_id="late", fetched_dt=LAST, **tried | {"status": "timeout"})
    seen = {
        "late": LAST,
        "no vector": DAYS[0],
        "last day": LAST - datetime.timedelta(89),
        "retired": LAST - datetime.timedelta(90),
    }
    for banner, day in seen.items():
        address = f"https://new.example/{banner}.png"
        world.add(tables.BANNER_DAYS, dt=day, banner_id=banner, image_url=address, log_rows=1, conflicting_attributes=0)
        shown = {"status": "ok", "content_hash": f"c{banner}", "pixel_hash": banner, "frames": 1}
        fetched = LAST + datetime.timedelta(1) if banner == "late" else day
        world.add(tables.IMAGE_FETCHES, banner_id=banner, image_url=address, fetched_dt=fetched, **shown)


def _add_clusterings(world: World, groups: list[Group]) -> None:
    members, days = world.frame(tables.CLUSTER_MEMBERS), world.frame(tables.BANNER_DAYS)
    first = days.groupby("banner_id").dt.min()
    for day in DAYS:
        today = days[days.dt == day]
        counts = {"log_rows": int(today.log_rows.sum()), "dau_banners": len(today), "conflicts": 0}
        seen = days[days.dt <= day].banner_id.nunique()
        world.add(tables.REGISTRY_DAYS, dt=day, **counts, mau_banners=seen, new_banners=int((first == day).sum()))
    whole = {"nodes": members.pixel_hash.nunique(), "banners": len(members), "clusters": len(groups)}
    chain = [(FIRST, DAYS[1], 1, None), (BEFORE, DAYS[2], 1, FIRST), (SUPERSEDED, LAST, 1, BEFORE), (CURRENT, LAST, 2, BEFORE)]
    for name, day, sequence, previous in chain:
        state = "superseded" if name == SUPERSEDED else "current"
        figures = whole if name in (CURRENT, SUPERSEDED) else {"nodes": 7, "banners": 9, "clusters": 3}
        row = {"clustering_id": name, "dt": day, "sequence": sequence, "previous_clustering_id": previous, "state": state}
        outliers = int(members.is_outlier.sum()) if name == CURRENT else 2
        world.add(tables.CLUSTERINGS, **row, encoder_id="perceptual", settings="{}", **figures, outliers=outliers)


def _add_themes(world: World) -> None:
    for k in (5, 10, 15):
        ids = [world.name() for _ in range(k)]
        place = {r["cluster_id"]: int(world.rng.integers(k)) for r in world.rows["clusters"]}
        for row in world.rows["clusters"]:
            row["themes"] = {**(row["themes"] or {}), k: ids[place[row["cluster_id"]]]}
        for row in world.rows["cluster_members"]:
            slot = place.get(row["cluster_id"], int(world.rng.integers(k)))
            row["themes"] = {**(row["themes"] or {}), k: ids[slot]}
        for slot, theme in enumerate(ids):
            held = sum(1 for r in world.rows["cluster_members"] if r["themes"][k] == theme)
            inside = sum(1 for at in place.values() if at == slot)
            figures = {"clusters": inside, "banners": held, "centroid": [1.0, 0.0]}
            world.add(tables.THEMES, clustering_id=CURRENT, k=k, slot=slot + 1, theme_id=theme, born_dt=LAST, **figures)


def _add_duplicates(world: World, groups: list[Group]) -> None:
    members = world.frame(tables.CLUSTER_MEMBERS)
    by_picture = members.groupby("pixel_hash").banner_id.apply(sorted)
    for group in groups[::2]:
        inside = sorted(group.pictures[: int(world.rng.integers(2, len(group.pictures) + 1))])
        for a, b in itertools.pairwise(inside):
            cosine = round(float(world.rng.uniform(0.95, 1.0)), 4)
            near = {"cluster_id": group.cluster_id, "set_id": inside[0], "pixel_hash_a": a, "pixel_hash_b": b, "cosine": cosine}
            world.add(tables.NEAR_DUPLICATES, clustering_id=CURRENT, **near)
        keeper = inside[int(world.rng.integers(len(inside)))]
        kept = {
            "keeper_banner_id": by_picture[keeper][0],
            "keeper_pixel_hash": keeper,
            "reason": "largest",
            "detail": "300 x 250",
        }
        counts = {"pictures": len(inside), "banners": sum(len(by_picture[p]) for p in inside)}
        world.add(tables.DUPLICATE_SETS, clustering_id=CURRENT, set_id=inside[0], cluster_id=group.cluster_id, **counts, **kept)


def _add_lineage(world: World, groups: list[Group]) -> None:
    for clustering in (FIRST, BEFORE, SUPERSEDED, CURRENT):
        for group in groups:
            others = [groups[int(i)].cluster_id for i in world.rng.permutation(len(groups))[:2]] + [world.name()]
            kind = ["created", "kept", "merged_from", "split_from", None][int(world.rng.integers(5))]
            base = {"clustering_id": clustering, "cluster_id": group.cluster_id, "banners": int(world.rng.integers(1, 9))}
            if kind in ("merged_from", "split_from"):
                for other in sorted(set(others) - {group.cluster_id}):
                    world.add(tables.CLUSTER_LINEAGE, **base, event=kind, other_cluster_id=other)
            elif kind:
                fell = int(world.rng.integers(0, 3)) if kind == "kept" else None
                world.add(tables.CLUSTER_LINEAGE, **base, event=kind, fell_out=fell)
        retired = {"cluster_id": world.name(), "event": "retired", "banners": 3, "fell_out": 1}
        world.add(tables.CLUSTER_LINEAGE, clustering_id=clustering, **retired)


def _add_clicks(world: World, groups: list[Group]) -> None:
    at = pd.Timestamp("2026-03-05T06:00:00")
    for revision in (1, 2):
        world.add(
            tables.FEATURE_PUBLICATIONS,
            dt=LAST,
            clustering_id=CURRENT,
            revision=revision,
            inputs_digest="x",
            available_at=at,
            users=USERS,
        )
        for i, group in enumerate(groups):
            for user in range(USERS if i % 4 else 0):
                impressions = int(world.rng.integers(1, 400))
                row = {"dt": LAST, "clustering_id": CURRENT, "revision": revision, "user_id": f"u{user}", "available_at": at}
                counts = dict.fromkeys(tables.window_columns(), 0) | {"impressions_30d": impressions}
                counts["clicks_30d"] = int(world.rng.binomial(impressions, 0.02)) if i % 7 else impressions + 1
                world.add(tables.USER_CLUSTER_COUNTS, **row, cluster_id=group.cluster_id, **counts)


def _add_analytics(world: World, groups: list[Group]) -> None:
    """From a generator of its own, so that the rest of the world stays as it is without it."""
    rng = np.random.default_rng(len(groups))
    for i, group in enumerate(groups):
        own = {"clustering_id": CURRENT, "cluster_id": group.cluster_id}
        for rank in rng.permutation(int(rng.integers(0, 4))):
            world.add(tables.CLUSTER_TAGS, **own, rank=int(rank) + 1, tag=HOSTILE if i == 3 and rank == 0 else f"word{i}{rank}")
        for value in ("north", "south", "east"):
            low = round(float(rng.uniform(0.2, 2.0)), 3)
            lifts = {"lift_low": low, "lift": low * 1.2, "lift_high": low * 1.5}
            world.add(tables.CLUSTER_AUDIENCES, dt=LAST, **own, attribute="region", value=value, users=60, **lifts)
        for window, measure in itertools.product((7, 28), ("impression_share", "ctr")):
            trend = ("rises", "falls", "steady", "untested")[int(rng.integers(4))]
            q = round(float(rng.uniform(0, 0.05)), 4) if trend in ("rises", "falls") else None
            key = {"dt": LAST, "window_days": window, "measure": measure, "trend": trend, "q_value": q, "p_value": q}
            world.add(tables.CLUSTER_TRENDS, **own, **key, rate=0.02, rate_before=0.01)
        older = {"dt": DAYS[2], "window_days": 7, "measure": "ctr", "trend": "rises", "q_value": 0.0}
        world.add(tables.CLUSTER_TRENDS, **{**own, "clustering_id": BEFORE}, **older, rate=0.5, rate_before=0.1)


def _add_strategies(world: World) -> None:
    """Comparisons of three days, the last one later than the report; in each two ranked and one that a gate refused."""
    for name, day in (("old", DAYS[1]), ("new", DAYS[-2]), ("late", LAST + datetime.timedelta(days=1))):
        for place, configuration in ((2, f"kmeans {HOSTILE}"), (1, f"recursive {name}"), (None, "dbscan()")):
            own = {"comparison_id": name, "dt": day, "encoder_id": "enc", "configuration": configuration, "place": place}
            told = {"reason": f"why {name} {HOSTILE}" if place == 1 else None, "recommended": place == 1}
            figures = {"silhouette": 0.5123, "clusters": 12.0, "largest_share": 0.25} if place else {}
            status = "ranked" if place else "gated"
            world.add(tables.LAB_RESULTS, **own, **told, status=status, score=0.4, seconds=1.25, figures=figures)


def _add_experiments(world: World) -> None:
    """Of three days: the oldest, two of the same day, and one later than the report."""
    rng = np.random.default_rng(3)
    for name, day in (("old", DAYS[1]), ("one", DAYS[-2]), ("two", DAYS[-2]), ("late", LAST + datetime.timedelta(days=1))):
        slices = [("all", ""), *(("app_id", f"app{i}") for i in range(SLICES_SHOWN + 3))]
        for model, (kind, value) in itertools.product(("logistic", "gradient_boosting"), slices):
            key = {
                "experiment_id": name,
                "dt": day,
                "model": model,
                "variant": "features",
                "slice_kind": kind,
                "slice_value": value,
            }
            word = ("helps", "hurts", "can't tell")[int(rng.integers(3))]
            text = f"{name} {model} {kind} {value}: {HOSTILE}"
            rows = int(rng.integers(100, 10**6))
            world.add(tables.EXPERIMENT_VERDICTS, **key, impressions=rows, verdict=word, text=text)
            low, middle, high = sorted(rng.normal(0, 0.01, 3))
            loss = {"baseline": 0.2 if model == "logistic" else None, "difference": middle, "low": low, "high": high}
            world.add(tables.EXPERIMENT_RESULTS, **key, metric="log_loss", **loss)
            world.add(tables.EXPERIMENT_RESULTS, **key, metric="auc", baseline=0.7, difference=0.5, low=0.4, high=0.6)
