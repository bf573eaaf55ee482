"""The job on tables of a random world, against a naive account of the same rows in pandas."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import data_of
from report_worlds import CURRENT, DAYS, HOSTILE, LAST, draw_world

from bannermap.platform import tables
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.storage import Warehouse
from bannermap.report.budget import plan
from bannermap.report.ctr import wilson_interval
from bannermap.report.emphasis import curtain
from bannermap.report.gather import CHANGES_SHOWN, FALLEN_PER_CLUSTER, PAIRS_PER_CLUSTER
from bannermap.report.gather_analyses import SLICES_SHOWN, TRENDS_SHOWN
from bannermap.report.job import STAGE

PER_PAGE = 15
OPTIONAL = (
    tables.CLUSTER_LINEAGE,
    tables.THEMES,
    tables.NEAR_DUPLICATES,
    tables.DUPLICATE_SETS,
    tables.FEATURE_PUBLICATIONS,
    tables.USER_CLUSTER_COUNTS,
    tables.REJECTS,
    tables.CLUSTER_TAGS,
    tables.CLUSTER_TRENDS,
    tables.CLUSTER_AUDIENCES,
    tables.EXPERIMENT_VERDICTS,
    tables.EXPERIMENT_RESULTS,
    tables.LAB_RESULTS,
)


def settings_in(base, home: Path, **report):
    paths = base.paths.model_copy(update={"warehouse": str(home / "warehouse"), "report": str(home / "report")})
    return base.model_copy(update={"paths": paths, "report": base.report.model_copy(update=report)})


def pages_in(home: Path) -> dict[str, str]:
    return {p.name: p.read_text(encoding="utf-8") for p in (home / "report").iterdir()}


@pytest.fixture(scope="module")
def built(spark, base_settings, tmp_path_factory):
    """A world of 40 clusters through the job, on three pages: the world, the warehouse, the settings, the folder."""
    home = tmp_path_factory.mktemp("built")
    world, warehouse = draw_world(40, seed=5), Warehouse(spark, str(home / "warehouse"))
    world.write(warehouse, home)
    settings = settings_in(base_settings, home, clusters_per_page=PER_PAGE, charted_days=4, max_pairs=9)
    run = run_stage(STAGE, warehouse, settings, LAST)
    return world, warehouse, settings, home, run


@pytest.fixture(scope="module")
def found(built) -> dict[str, tuple[dict, dict, list[str]]]:
    """cluster_id -> card, detail and pictures of its page, as written."""
    result = {}
    for name, text in pages_in(built[3]).items():
        if name != "index.html":
            data = data_of(text)
            for card, detail in zip(data["cards"], data["details"], strict=True):
                card["a"], card["tg"] = ([data["names"][i] for i in card[place]] for place in ("a", "tg"))
                detail["lin"] = [(data["axis"][d], data["events"][e], o, n) for d, e, o, n, *_ in detail["lin"]]
                result[card["id"]] = (card, detail, data["images"])
    return result


def test_the_manifest_tells_what_was_written(built):
    _, _, _, home, run = built
    pages = pages_in(home)
    assert run.metrics["pages"] == len(pages) == 4
    assert run.metrics["page_bytes"] == sum(len(t.encode()) for t in pages.values())
    assert (run.rows_in, run.rows_out) == (40, 40)


def test_what_pictures_are_drawn_from_is_released(spark, base_settings, tmp_path, monkeypatch):
    frame, kept = type(spark.range(1)), []
    persist = frame.persist
    monkeypatch.setattr(frame, "persist", lambda self, *level: kept.append(self) or persist(self, *level))
    world, warehouse = draw_world(3, seed=6), Warehouse(spark, str(tmp_path / "warehouse"))
    world.write(warehouse, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(type(spark.catalog), "clearCache", lambda _: None)  # the job's last word would release what it forgot, too
        run_stage(STAGE, warehouse, settings_in(base_settings, tmp_path), LAST)
    of_pictures = [f for f in kept if {"side", "sides", "thumbnail"} & set(f.columns)]
    assert len(of_pictures) == 3 and not any(f.storageLevel.useDisk for f in of_pictures)


def test_every_cluster_has_the_figures_of_its_rows(built, found):
    world = built[0]
    clusters = world.frame(tables.CLUSTERS).sort_values(["size", "cluster_id"], ascending=[False, True])
    listed = data_of(pages_in(built[3])["index.html"])["cards"]
    assert [c["id"] for c in listed] == list(clusters.cluster_id)
    members = world.frame(tables.CLUSTER_MEMBERS)
    days = world.frame(tables.BANNER_DAYS)
    newest = days.dropna(subset=["advertiser_id"]).sort_values("dt").groupby("banner_id").advertiser_id.last()
    for row in clusters.itertuples():
        card, detail, _ = found[row.cluster_id]
        inside = members[members.cluster_id == row.cluster_id]
        seen = days[days.banner_id.isin(inside.banner_id)]
        assert (card["s"], card["n"], card["c"]) == (row.size, row.nodes, round(row.cohesion, 4))
        assert card["f"] == str(row.born_dt)
        assert detail["seen"] == [str(seen.dt.min()), str(seen.dt.max())]
        assert detail["days"] == [int((seen.dt == d).sum()) for d in DAYS]
        counts = newest.reindex(inside.banner_id).value_counts()
        expected = sorted(counts.items(), key=lambda e: (-e[1], e[0]))
        assert card["ac"] == len(expected)
        assert list(zip(card["a"], detail["adv"], strict=True)) == expected[:8]
        assert (detail["t"], detail["d"]) == (round(row.threshold, 4), row.depth)
        path = next(iter(inside.path))
        assert detail["path"] == [group[:12] for group in path[:-1]]


def test_tags_audiences_and_trends_are_those_of_the_day(built, found):
    world = built[0]
    tags, audiences, trends = (
        world.frame(table) for table in (tables.CLUSTER_TAGS, tables.CLUSTER_AUDIENCES, tables.CLUSTER_TRENDS)
    )
    surely = audiences[(audiences.lift_low > 1) | (audiences.lift_high < 1)]
    for name, (card, detail, _) in found.items():
        assert card["tg"] == list(tags[tags.cluster_id == name].sort_values("rank").tag)
        own = surely[surely.cluster_id == name]
        distance = {r.value: max(r.lift_low, 1 / r.lift_high) for r in own.itertuples()}
        assert [a[1] for a in detail["au"]] == sorted(distance, key=lambda v: -distance[v])
    text = pages_in(built[3])["index.html"]
    section = text[text.index('<section id="trends"') :].split("</section>")[0]
    families = trends[trends.clustering_id == CURRENT].groupby(["window_days", "measure"])
    assert section.count("<h3>") == len(families) == 4
    for (window, measure), family in families:
        words = {"impression_share": "Share of all impressions", "ctr": "Clicks per impression"}[measure]
        part = section.split(f"<h3>{words}, {window} days")[1].split("<h3>")[0]
        counts = family.trend.value_counts()
        tested = len(family) - counts.get("untested", 0)
        assert f"{counts['rises']} of {tested} tested clusters rise, {counts['falls']} fall" in part
        for trend in ("rises", "falls"):
            first = family[family.trend == trend].sort_values(["q_value", "cluster_id"]).cluster_id[:TRENDS_SHOWN]
            told = [row for row in part.split("<tr>") if f"left {trend}" in row]
            assert [f"#cluster-{name}" in row for name, row in zip(first, told, strict=True)] == [True] * len(first)


def test_strategies_are_those_of_the_newest_comparison_up_to_the_reports_day(built):
    text = pages_in(built[3])["index.html"]
    section = text[text.index('<section id="strategies"') :].split("</section>")[0]
    assert [m for m in ("recursive old", "recursive new", "recursive late") if m in section] == ["recursive new"]
    rows = re.findall(r"<tr><td>(\d)</td>(.*?)</tr>", section)
    assert [place for place, _ in rows] == ["1", "2"] and "recommended" in rows[0][1] and "recommended" not in rows[1][1]
    assert "0.512" in rows[0][1] and "25.0 %" in rows[0][1] and ">12<" in rows[0][1] and "1 gated" in section
    assert "why new" in section and HOSTILE not in section


def test_experiments_are_those_of_the_newest_day_up_to_the_reports(built):
    verdicts = built[0].frame(tables.EXPERIMENT_VERDICTS).set_index(["experiment_id", "model", "slice_kind", "slice_value"])
    losses = built[0].frame(tables.EXPERIMENT_RESULTS)
    losses = losses[losses.metric == "log_loss"].set_index(["experiment_id", "model", "slice_kind", "slice_value"])
    text = pages_in(built[3])["index.html"]
    section = text[text.index('<section id="experiment"') :].split("</section>")[0]
    parts = section.split("<h3>")[1:]
    assert [name in part for name, part in zip(("one", "two"), parts, strict=True)] == [True, True]
    for name, part in zip(("one", "two"), parts, strict=True):
        own = verdicts.loc[name]
        said = re.findall(r"<li><strong[^>]*>([^<]*)</strong>", part)
        assert sorted(v.replace("&#39;", "'") for v in said) == sorted(own.xs("all", level="slice_kind").verdict)
        most = own.drop(index="all", level="slice_kind").nlargest(SLICES_SHOWN, "impressions")
        rows = re.findall(r'<tr><th scope="row">app_id (\w+)</th><td class="left">([\w ]+)</td>(.*?)</tr>', part)
        assert [(model.replace(" ", "_"), "app_id", app) for app, model, _ in rows] == list(most.index)
        for (app, model, row), verdict in zip(rows, most.verdict, strict=True):
            loss = losses.loc[(name, model.replace(" ", "_"), "app_id", app)]
            assert verdict.replace("'", "&#39;") in row
            assert (f"{-100 * loss.difference / loss.baseline:.2f} %" in row) if model == "logistic" else ("<td></td>" in row)


def test_what_fell_out_are_the_outliers_of_its_group(built, found):
    members = built[0].frame(tables.CLUSTER_MEMBERS)
    outliers = members[members.is_outlier]
    some = 0
    for row in built[0].frame(tables.CLUSTERS).itertuples():
        held = outliers[[bool({row.parent, row.cluster_id} & set(p)) for p in outliers.path]]
        detail = found[row.cluster_id][1]
        assert detail["fo"] == len(held)
        assert len(detail["fop"]) == min(held.pixel_hash.nunique(), FALLEN_PER_CLUSTER)
        some += len(held) > 0
    assert some > 5


def test_siblings_are_the_clusters_of_the_same_parent(built, found):
    clusters = built[0].frame(tables.CLUSTERS)
    for row in clusters.itertuples():
        same = clusters[(clusters.parent == row.parent) & (clusters.cluster_id != row.cluster_id)] if row.parent else clusters[:0]
        detail = found[row.cluster_id][1]
        assert detail["sn"] == len(same)
        assert {s[0] for s in detail["sib"]} <= {i[:12] for i in same.cluster_id} and len(detail["sib"]) == min(len(same), 8)


def test_click_rates_come_of_the_newest_revision_with_their_intervals(built, found):
    counts = built[0].frame(tables.USER_CLUSTER_COUNTS)
    sums = counts[counts.revision == 2].groupby("cluster_id")[["impressions_30d", "clicks_30d"]].sum()
    without_interval = 0
    for name, (card, _, _) in found.items():
        if name not in sums.index:
            assert "r" not in card
            continue
        impressions, clicks = (int(v) for v in sums.loc[name])
        assert (card["i"], card["k"], card["r"]) == (impressions, clicks, round(clicks / impressions, 6))
        if clicks > impressions:
            assert card["w"] is None
            without_interval += 1
        else:
            assert card["w"] == pytest.approx(wilson_interval(clicks, impressions), abs=1e-6)
    assert 0 < without_interval < len(sums) < len(found)


def test_near_duplicates_are_told_with_their_keeper(built, found):
    near, sets = built[0].frame(tables.NEAR_DUPLICATES), built[0].frame(tables.DUPLICATE_SETS).set_index("set_id")
    for name, (_, detail, _) in found.items():
        own = near[near.cluster_id == name].sort_values(["cosine", "pixel_hash_a"], ascending=[False, True])
        assert detail["dn"] == len(own)
        told = [(p[2], p[3], p[4]) for p in detail["dup"]]
        kept = sets.loc[own.set_id]
        place = [
            {a: 1, b: 2}.get(k, 0) for a, b, k in zip(own.pixel_hash_a, own.pixel_hash_b, kept.keeper_pixel_hash, strict=True)
        ]
        assert told == list(zip(own.cosine, place, kept.keeper_banner_id, strict=True))[:PAIRS_PER_CLUSTER]
    text = pages_in(built[3])["index.html"]
    assert f"{len(sets)} sets of near or exact duplicates, {len(near)} pairs; {(sets.banners - 1).sum()} banners could go" in text
    shown = [float(c) for c in re.findall(r"cosine (0\.\d{4}|1\.0000) ·", text)]
    ordered = near.sort_values(["cosine", "pixel_hash_a", "pixel_hash_b"], ascending=[False, True, True])
    of_each_set = ordered.assign(turn=ordered.groupby("set_id").cumcount()).sort_values("turn", kind="stable")
    assert shown == list(of_each_set.cosine[:9])
    told = re.search(r'id="cosines-desc">pairs by cosine from\. (.*?)\.</desc>', text)[1]
    bins = np.floor(near.cosine * 200 + 1e-6) / 200
    assert {k: int(v) for k, v in re.findall(r"([\d.]+): (\d+)", told) if v != "0"} == {
        f"{b:.3f}": n for b, n in bins.value_counts().items()
    }


def test_pictures_show_what_their_own_encoder_looks_at_unless_they_move(built, found):
    members, fetches = (built[0].frame(t) for t in (tables.CLUSTER_MEMBERS, tables.IMAGE_FETCHES))
    still = set(fetches.pixel_hash[fetches.frames == 1])
    made = built[0].frame(tables.EMBEDDINGS)
    maps = made[(made.encoder_id == "perceptual") & made.emphasis.notna()].set_index("content_hash").emphasis
    medoids = built[0].frame(tables.CLUSTERS).set_index("cluster_id").medoid
    without = 0
    for name, (_, detail, images) in found.items():
        own = members[members.cluster_id == name].drop_duplicates("pixel_hash")
        ranked = own.assign(first=own.pixel_hash != medoids[name], last=-own.similarity_to_medoid)
        first = list(ranked.sort_values(["first", "last", "pixel_hash"]).pixel_hash[:3])
        expected = [(i, maps[f"c{h}"]) for i, h in enumerate(first) if h in still and f"c{h}" in maps]
        assert [(i, images[over]) for _, over, i in detail["em"]] == [(i, b64encode(curtain(m)).decode()) for i, m in expected]
        assert [at for at, _, _ in detail["em"]] == [detail["p"][i][0] for i, _ in expected]
        without += len(first) - len(expected)
    assert 0 < without < 2 * len(found)


def test_lineage_is_told_newest_first(built, found):
    lineage, runs = built[0].frame(tables.CLUSTER_LINEAGE), built[0].frame(tables.CLUSTERINGS)
    newest = runs.sort_values("sequence").groupby("dt").clustering_id.last()
    rows = lineage.merge(newest.rename_axis("dt").reset_index(), on="clustering_id")
    rows = rows[(rows.event != "kept") | (rows.clustering_id == CURRENT) | (rows.fell_out > 0)]
    for name, (_, detail, _) in found.items():
        own = [(str(r.dt), r.event, r.other_cluster_id, r.banners) for r in rows[rows.cluster_id == name].itertuples()]
        given = [(str(r.dt), "given_to", r.cluster_id, r.banners) for r in rows[rows.other_cluster_id == name].itertuples()]
        told = [(day, event, other[0] if other else None, banners) for day, event, other, banners in detail["lin"]]
        assert all(len(other) == 1 + any(i.startswith(other[0]) for i in found) for _, _, other, _ in detail["lin"] if other)
        short = [(d, e, o[:12] if o else None, b) for d, e, o, b in own + given]
        assert len(told) == min(len(short), CHANGES_SHOWN)
        assert [t[0] for t in told] == sorted((s[0] for s in short), reverse=True)[:CHANGES_SHOWN]
        assert not [t for t in told if t not in short]


def test_days_and_histograms_count_all_rows(built):
    world, text = built[0], pages_in(built[3])["index.html"]
    lineage, runs = world.frame(tables.CLUSTER_LINEAGE), world.frame(tables.CLUSTERINGS)
    newest = runs.sort_values("sequence").groupby("dt").last()
    body = re.search(r'aria-label="Days">.*?<tbody>(.*?)</tbody>', text, re.S)[1]
    for row in world.frame(tables.REGISTRY_DAYS).itertuples():
        cells = re.search(rf"{row.dt}</th>(.*?)</tr>", body, re.S)[1]
        values = re.findall(r"<td[^>]*>(?:<span class=\"dim\">)?(.*?)(?:</span>)?</td>", cells)
        expected = [f"{v:,}" for v in (row.log_rows, row.dau_banners, row.mau_banners, row.new_banners)]
        if row.dt in newest.index:
            run = newest.loc[row.dt]
            events = lineage[lineage.clustering_id == run.clustering_id].groupby("event").cluster_id.nunique()
            kinds = ("created", "kept", "merged_from", "split_from", "retired")
            expected += [str(run.clusters), str(run.outliers), *(str(events.get(e, 0)) for e in kinds), run.state]
        else:
            expected += ["none"] * 7 + [""]
        assert values == expected, row.dt
    clusters = world.frame(tables.CLUSTERS)
    told = {
        n: dict(re.findall(r"([\w.-]+): (\d+)", re.search(rf'id="{n}-desc">(.*?)</desc>', text)[1]))
        for n in ("sizes", "cohesions")
    }
    sizes = clusters["size"].map(lambda s: f"{2 ** int(np.log2(s))}-{2 ** (int(np.log2(s)) + 1) - 1}").value_counts()
    assert {k: int(v) for k, v in told["sizes"].items() if v != "0"} == sizes.to_dict()
    cohesions = (np.floor(clusters.cohesion * 20 + 1e-6) / 20).clip(upper=0.95).map("{:.2f}".format).value_counts()
    assert {k: int(v) for k, v in told["cohesions"].items() if v != "0"} == cohesions.to_dict()


def test_themes_show_their_largest_clusters(built):
    world, text = built[0], pages_in(built[3])["index.html"]
    clusters = world.frame(tables.CLUSTERS).sort_values(["size", "cluster_id"], ascending=[False, True])
    shown = dict(re.findall(r'data-search="(theme\d+-\d+)">.*?</h3>(.*?)</li>', text, re.S))
    rows = world.frame(tables.THEMES)
    assert set(shown) == {f"theme{r.k}-{r.slot}" for r in rows.itertuples()}
    for row in rows.itertuples():
        inside = clusters[[t[row.k] == row.theme_id for t in clusters.themes]]
        links = re.findall(r"#cluster-(\w+)", shown[f"theme{row.k}-{row.slot}"])
        assert links == list(inside.cluster_id[:4])


def test_banners_that_are_not_clustered_are_told_with_the_reason_of_their_day(built):
    funnel = pages_in(built[3])["index.html"].split('<ol class="funnel">')[1].split("</ol>")[0]
    assert ">left out: 12 truncated, 3 not_found, 1 timeout, 2 without a vector, 1 retired<" in funnel
    counts = [int(n.replace(",", "")) for n in re.findall(r'class="count">([\d,]+)<', funnel)]
    members = built[0].frame(tables.CLUSTER_MEMBERS)
    assert counts[2] == counts[3] + 12 + 3 + 1 + 2 + 1 and counts[3] == len(members)


def test_failures_are_told_with_addresses_and_reasons(built):
    text = pages_in(built[3])["index.html"]
    section = text[text.index('id="failures"') : text.index('id="runs"')]
    assert "<strong>truncated</strong>: 12 banners" in section and "<strong>not_found</strong>: 3 banners" in section
    assert section.count("gone.example") == 10 - 1 + 3 and "The first 10 addresses" in section
    assert HOSTILE not in section and "owned" in section and "no_banner_id_and_no_image_url" in section


def test_running_again_gives_the_same_pages_and_removes_stale_ones(built):
    _, warehouse, settings, home, _ = built
    first = pages_in(home)
    changes = {"max_clusters": 14, "emphasis_pictures": 0}
    fewer = settings.model_copy(update={"report": settings.report.model_copy(update=changes)})
    run_stage(STAGE, warehouse, fewer, LAST)
    only = pages_in(home)
    assert not any(d["em"] for d in data_of(only["index.html"])["details"])
    assert set(only) == {"index.html"} and "14 of 40 clusters, the largest" in only["index.html"]
    run_stage(STAGE, warehouse, settings, LAST)
    again = pages_in(home)
    assert {n: t for n, t in again.items() if n != "index.html"} == {n: t for n, t in first.items() if n != "index.html"}
    assert again["index.html"].split('id="runs"')[0] == first["index.html"].split('id="runs"')[0]
    run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), fewer, LAST)
    assert pages_in(home) == again


def test_tables_that_are_not_there_are_said_in_words(spark, base_settings, tmp_path):
    world, warehouse = draw_world(6, seed=2), Warehouse(spark, str(tmp_path / "warehouse"))
    for row in world.rows["clusters"] + world.rows["cluster_members"]:
        row["themes"] = None
    for row in world.rows["clusters"]:
        row["born_dt"] = None
    for row in world.rows["clusterings"]:
        row["previous_clustering_id"] = row["state"] = None
    world.write(warehouse, tmp_path, without=OPTIONAL)
    run_stage(STAGE, warehouse, settings_in(base_settings, tmp_path), LAST)
    text = pages_in(tmp_path)["index.html"]
    for said in ("No lineage is stored", "No themes are stored", "No features are published", "No near duplicates are stored"):
        assert said in text
    assert len(data_of(text)["cards"]) == 6
    with pytest.raises(InputError, match="no clustering of 2026-03-01"):
        run_stage(STAGE, warehouse, settings_in(base_settings, tmp_path), DAYS[0])


def test_a_folder_of_own_images_shows_files_and_no_day(spark, base_settings, tmp_path, capsys):
    world, warehouse = draw_world(6, seed=3), Warehouse(spark, str(tmp_path / "warehouse"))
    for rows in world.rows.values():
        for row in rows:
            row |= {c: tables.NO_DAY for c in ("dt", "born_dt", "fetched_dt") if c in row}
            if row.get("clustering_id") == CURRENT:
                row["clustering_id"] = f"{tables.NO_DAY}-abc"
    for name in ("banner_days", "registry_days"):
        key = [c for c in ("dt", "banner_id") if c in world.rows[name][0]]
        world.rows[name] = pd.DataFrame(world.rows[name], dtype=object).drop_duplicates(key).to_dict("records")
    world.write(warehouse, tmp_path, without=OPTIONAL)
    run_stage(STAGE, warehouse, settings_in(base_settings, tmp_path), tables.NO_DAY)
    text = pages_in(tmp_path)["index.html"]
    assert (
        "1970" not in text + capsys.readouterr().out
        and 'href="#rates"' not in text
        and 'id="days"' not in text
        and "own images" in text
    )
    data = data_of(text)
    assert all(p[3].startswith("https://ads.example/") for d in data["details"] for p in d["p"])
    assert not data["dated"] and {c["f"] for c in data["cards"]} == {None}


@pytest.mark.slow
def test_five_thousand_clusters_keep_within_fifteen_megabytes(spark, base_settings, tmp_path):
    world, warehouse = draw_world(5000, seed=7), Warehouse(spark, str(tmp_path / "warehouse"))
    world.write(warehouse, tmp_path)
    settings = settings_in(base_settings, tmp_path)
    run = run_stage(STAGE, warehouse, settings, LAST)
    pages = pages_in(tmp_path)
    assert sum(len(t.encode()) for t in pages.values()) == run.metrics["page_bytes"] <= 15_000_000
    assert len(pages) == 1 + 5000 // settings.report.clusters_per_page
    listed = data_of(pages["index.html"])["cards"]
    assert len(listed) == 5000 and len({c["id"] for c in listed}) == 5000
    details = [d for name, text in pages.items() if name != "index.html" for d in data_of(text)["details"]]
    assert len(details) == 5000 and all(d["p"] and d["p"][0][0] >= 0 for d in details)
    report = settings.report
    side = plan(5000, report.thumbnail_px, report.pictures_per_cluster, report.max_total_bytes).thumbnail_px
    said = re.sub(r"\s+", " ", pages["index.html"])
    assert f"square of {side} px" in said and f"first {run.metrics['pictures_per_cluster']:.0f} of its pictures" in said
