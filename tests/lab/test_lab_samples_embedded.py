"""Sampling before embedding: what is drawn without vectors is what is embedded, and what is then compared."""

from __future__ import annotations

import datetime
import hashlib
import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import compare_strategies
import embed_sample
import fetch_banners
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bannermap.clustering.job import STAGE as CLUSTER
from bannermap.clustering.lending import seen_pictures
from bannermap.embedding import making
from bannermap.embedding.encoders.chain import make_chain
from bannermap.lab.data import STRATA, Pictures, stratified
from bannermap.lab.job import gathered_pictures
from bannermap.lab.sampling import EPOCH, sampled_files
from bannermap.platform.cli import main, run_stage
from bannermap.platform.errors import InputError, ServiceError
from bannermap.platform.image_cache import ImageCache
from bannermap.platform.image_store import keep_bytes
from bannermap.platform.runs import JobContext, Run
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS, IMAGE_BYTES, IMAGE_FETCHES, LAB_EMBEDDINGS

FIRST, OTHER, ROWS = datetime.date(2026, 5, 1), "other", 25
SIZES = ((72, 9), (30, 25), (16, 60))


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def put(warehouse, table, rows):
    warehouse.append(table, warehouse.spark.createDataFrame(rows, table.schema))


def png(rng, size) -> bytes:
    target = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(target, "PNG")
    return target.getvalue()


@dataclass
class World:
    """Banners of three days with pictures, of which some have two files, and what tables do not say in one place.

    Attributes:
        files: content_hash -> (picture, bytes).
        sizes: picture -> its size.
        shown: banner -> (its file or None where it could not be fetched, {day: advertiser or None}).
    """

    files: dict[str, tuple[str, bytes]]
    sizes: dict[str, tuple[int, int]]
    shown: dict[str, tuple[str | None, dict[int, str | None]]]

    def damage(self, content: str) -> None:
        """Make a file one that the decoder takes no more."""
        bad = b"<html>"
        name, _ = self.files.pop(content)
        self.files[hashlib.sha256(bad).hexdigest()] = (name, bad)
        other = {content: hashlib.sha256(bad).hexdigest()}
        self.shown = {b: (other.get(file, file), shops) for b, (file, shops) in self.shown.items()}

    def known(self, by: int) -> dict[str, list[str]]:
        """Picture -> its banners by a day, ascending."""
        seen: dict[str, list[str]] = {}
        for banner, (file, days) in sorted(self.shown.items()):
            if file and min(days) <= by:
                seen.setdefault(self.files[file][0], []).append(banner)
        return seen

    def sample(self, by: int, always: set[str], seed: int) -> set[str]:
        """Drawn from facts that are gathered one picture at a time."""
        names, rows = sorted(self.known(by)), []
        for name in names:
            banners = self.known(by)[name]
            shops = [shop for when, shop in sorted(self.shown[banners[0]][1].items()) if shop and when <= by]
            first = min(min(self.shown[b][1]) for b in banners)
            rows.append((shops[-1] if shops else "", (day(first) - EPOCH).days, *self.sizes[name]))
        shop, days, wide, high = zip(*rows, strict=True)
        facts = (np.array(shop, object), np.array(days), np.array(wide), np.array(high))
        drawn = Pictures(np.array(names, object), np.empty((len(names), 0), np.float32), *facts, np.full(len(names), "", object))
        fixed = np.flatnonzero([n in always for n in names])
        return set(drawn.of(stratified(drawn, STRATA, ROWS, fixed, seed)).names)


def made_world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    sizes = {f"p{p:02d}": SIZES[rng.integers(3)] for p in range(60)}
    made = [(name, png(rng, size)) for name, size in sizes.items() for _ in range(1 + (rng.random() < 0.3))]
    files = {hashlib.sha256(data).hexdigest(): (name, data) for name, data in made}
    shown = {}
    for number in range(110):
        of_days = sorted({int(d) for d in rng.integers(0, 3, 2)})
        shops = {d: f"shop{rng.integers(4)}" if rng.random() < 0.8 else None for d in of_days}
        shown[f"b{number:03d}"] = (str(rng.choice(list(files))) if rng.random() < 0.9 else None, shops)
    return World(files, sizes, shown)


def store(world: World, warehouse: Warehouse) -> None:
    days = [(day(d), b, f"u/{b}", shop, None, None, 1, 0) for b, (_, shops) in world.shown.items() for d, shop in shops.items()]
    put(warehouse, BANNER_DAYS, days)
    fetched = []
    for banner, (file, shops) in world.shown.items():
        facts = (file, world.files[file][0], 9, "png", *world.sizes[world.files[file][0]], 1) if file else (None,) * 7
        when = day(min(shops))
        fetched.append((banner, f"u/{banner}", "ok" if file else "timeout", None, *facts, when, None if file else when))
    put(warehouse, IMAGE_FETCHES, fetched)
    put(warehouse, IMAGE_BYTES, [(content, bytearray(data)) for content, (_, data) in world.files.items()])


def put_other(world: World, warehouse: Warehouse) -> None:
    """Vectors of everything by an encoder that embeds each day."""
    vectors = np.random.default_rng(1).normal(size=(len(world.files), 8))
    rows = zip(world.files, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True)
    put(warehouse, EMBEDDINGS, [(OTHER, content, v.tolist(), None) for content, v in rows])


def lab_of(settings, **lab):
    return settings.model_copy(update={"lab": settings.lab.model_copy(update={"sample_rows": ROWS, "strata": STRATA, **lab})})


@dataclass
class Asking:
    """`seen_pictures`, which notes the encoders that they were asked for."""

    encoders: list[str] = field(default_factory=list)

    def __call__(self, context, encoder_id):
        self.encoders.append(encoder_id)
        return seen_pictures(context, encoder_id)


def compared(warehouse, settings, *encoders, by=1) -> set[str]:
    """The pictures that compare_strategies takes; the pictures of the day are asked for once by each encoder."""
    seen = Asking()
    context = JobContext(warehouse, settings, day(by), Run("compare_strategies", day(by)))
    found = gathered_pictures(context, replace(compare_strategies.GIVEN, seen=seen), settings.lab.sample_rows, encoders)
    assert seen.encoders == list(encoders)
    (names,) = {tuple(p.names) for p in found.pictures.values()}
    return set(names)


def embedded(world: World, warehouse: Warehouse) -> list[str]:
    """A picture per vector of a sample."""
    return sorted(world.files[r.content_hash][0] for r in warehouse.read(LAB_EMBEDDINGS).collect())


@dataclass
class Asked:
    """Banners that the settings name: targets, and pairs."""

    targets: list[str]
    pairs: list[tuple[str, str]]

    def settings(self, settings, folder, **lab):
        pq.write_table(pa.table({"banner_id": self.targets}), folder / "targets.parquet")
        one, other = zip(*self.pairs, strict=True)
        judged = {"banner_a": one, "banner_b": other, "alike": [True] * len(one)}
        pq.write_table(pa.table(judged), folder / "pairs.parquet")
        return lab_of(settings, targets=str(folder / "targets.parquet"), pairs=str(folder / "pairs.parquet"), **lab)

    def pictures(self, world: World, by: int) -> set[str]:
        """That have to be in a sample; of a pair both or none."""
        of = {banner: name for name, banners in world.known(by).items() for banner in banners}
        return {of[b] for b in self.targets if b in of} | {of[b] for pair in self.pairs if set(pair) <= set(of) for b in pair}


def asked(world: World, seed: int) -> Asked:
    names = [str(b) for b in np.random.default_rng([seed, 1]).choice(sorted(world.shown), 10, replace=False)]
    return Asked(names[:4], list(zip(names[4:7], names[7:], strict=True)))


@pytest.mark.parametrize("seed", range(3))
def test_the_sample_is_that_of_the_facts_of_pictures_and_has_all_their_files(base_settings, warehouse, tmp_path, seed):
    world, by = made_world(seed), 1 + seed % 2
    store(world, warehouse)
    wanted = asked(world, seed)
    settings = wanted.settings(base_settings, tmp_path, seed=seed)
    context = JobContext(warehouse, settings, day(by), Run("embed_sample", day(by)))
    seen = Asking()
    rows = sampled_files(context, "any", seen).collect()
    assert seen.encoders == ["any"]
    always = wanted.pictures(world, by)
    expected = world.sample(by, always, seed)
    assert len(expected) == ROWS and always <= expected < set(world.known(by))
    shown = {world.shown[b][0] for name in expected for b in world.known(by)[name]}
    assert sorted(map(tuple, rows)) == sorted((world.files[content][0], content) for content in shown)


def test_what_is_drawn_is_embedded_once_and_is_what_is_compared(base_settings, warehouse, tmp_path):
    world, wanted, (own,) = made_world(5), asked(made_world(5), 5), make_chain(base_settings.encoder).encoder_ids
    store(world, warehouse)
    put_other(world, warehouse)
    settings = wanted.settings(base_settings, tmp_path, seed=5)
    expected, fresh = (world.sample(1, wanted.pictures(world, 1), seed) for seed in (5, 6))
    run = run_stage(embed_sample.STAGE, warehouse, settings, day(1))
    assert (run.rows_in, run.rows_out, run.metrics["stored_images_encoded"], run.rejected) == (ROWS, ROWS, ROWS, {})
    assert embedded(world, warehouse) == sorted(expected)
    for encoders in ((OTHER, own), (own,), (OTHER,)):
        assert compared(warehouse, settings, *encoders) == expected
    again = run_stage(embed_sample.STAGE, warehouse, settings, day(1))
    assert (again.rows_out, again.metrics["stored_images_encoded"]) == (ROWS, 0)

    other_seed = lab_of(settings, seed=6)
    run = run_stage(embed_sample.STAGE, warehouse, other_seed, day(1))
    assert fresh - expected and run.metrics["stored_images_encoded"] == len(fresh - expected)
    assert embedded(world, warehouse) == sorted(fresh | expected)
    assert compared(warehouse, other_seed, OTHER, own) == fresh
    assert {r.encoder_id for r in warehouse.read(EMBEDDINGS).collect()} == {OTHER}  # what is read by jobs that want all pictures

    later = compared(warehouse, settings, OTHER, own, by=2)
    drawn, held = world.sample(2, wanted.pictures(world, 2), 5), fresh | expected
    assert drawn - held and drawn & held <= later <= held and len(later) == ROWS


def test_a_picture_that_cannot_be_encoded_is_counted_and_what_has_a_vector_is_left_alone(base_settings, warehouse):
    world, settings, (own,) = made_world(7), lab_of(base_settings), make_chain(base_settings.encoder).encoder_ids
    expected = sorted(world.sample(1, set(), settings.lab.seed))
    files = {name: sorted({world.shown[b][0] for b in world.known(1)[name]}) for name in expected}
    single = [name for name in expected if len(files[name]) == 1]
    twice = next(name for name in expected if len(files[name]) == 2)
    gone, damaged, done = single[:2], single[2], single[3]
    world.damage(files[damaged][0])
    store(world, warehouse)
    put_other(world, warehouse)
    put(warehouse, EMBEDDINGS, [(own, files[done][0], [1.0, 0.0], None)])  # by embed_banners
    table = warehouse.path(IMAGE_BYTES)
    lost = [*(files[n][0] for n in gone), files[twice][0]]
    warehouse.spark.sql(f"DELETE FROM delta.`{table}` WHERE content_hash IN ({', '.join(map(repr, lost))})")
    run = run_stage(embed_sample.STAGE, warehouse, settings, day(1))
    assert (run.rows_out, run.rejected) == (ROWS - 3, {"no_bytes": 2, "not_an_image": 1})
    assert run.metrics["stored_images_encoded"] == ROWS - 4
    assert embedded(world, warehouse) == sorted(set(expected) - {*gone, damaged, done})
    chosen = [r.content_hash for r in warehouse.read(LAB_EMBEDDINGS).collect()]
    assert files[twice][1] in chosen and all(files[n][0] in chosen for n in set(expected) - {*gone, damaged, done, twice})
    warehouse.spark.sql(f"DELETE FROM delta.`{warehouse.path(EMBEDDINGS)}` WHERE encoder_id = '{own}'")
    assert compared(warehouse, settings, OTHER, own) == set(expected) - {*gone, damaged, done}
    assert compared(warehouse, settings, OTHER) == set(expected)


def test_what_a_store_lost_is_no_silent_success_and_bytes_that_are_spoilt_are_no_error(
    base_settings, warehouse, tmp_path, monkeypatch
):
    cache, world = str(tmp_path / "cache"), made_world(4)
    store(world, warehouse)
    keep_bytes(warehouse, cache, warehouse.read(IMAGE_BYTES))
    settings = lab_of(base_settings)
    settings = settings.model_copy(update={"fetch": settings.fetch.model_copy(update={"image_cache": cache})})
    expected = sorted(world.sample(1, set(), settings.lab.seed))
    spoilt = next(n for n in expected if len({world.shown[b][0] for b in world.known(1)[n]}) == 1)
    Path(ImageCache(cache).path(world.shown[world.known(1)[spoilt][0]][0])).write_bytes(b"cut")
    whole = making._staged

    def loses_a_batch(spark, folder):
        min(Path(folder).glob("*.parquet")).unlink()
        return whole(spark, folder)

    with monkeypatch.context() as patch:
        patch.setattr(making, "_staged", loses_a_batch)
        with pytest.raises(ServiceError, match=rf"{ROWS - 1} stored pictures were due, and \d+ came back.*again"):
            run_stage(embed_sample.STAGE, warehouse, settings, day(1))
    assert not warehouse.exists(LAB_EMBEDDINGS)
    run = run_stage(embed_sample.STAGE, warehouse, settings, day(1))
    assert (run.rows_out, run.rejected) == (ROWS - 1, {"no_bytes": 1})
    assert embedded(world, warehouse) == sorted(set(expected) - {spoilt})


def test_no_picture_needs_a_vector_before_and_a_sample_is_not_clustered(base_settings, warehouse, tmp_path):
    rng, (own,) = np.random.default_rng(3), make_chain(base_settings.encoder).encoder_ids
    paths = base_settings.paths.model_copy(update={"images": str(tmp_path)})
    settings = lab_of(base_settings.model_copy(update={"paths": paths}), sample_rows=9)
    names = [f"b{i}" for i in range(20)]
    for name in names:
        (tmp_path / f"{name}.png").write_bytes(png(rng, SIZES[rng.integers(3)]))
    put(warehouse, BANNER_DAYS, [(day(1), n, f"{n}.png", "shop", None, None, 1, 0) for n in names])
    with pytest.raises(InputError, match="embed_banners"):
        run_stage(embed_sample.STAGE, warehouse, settings, day(1))
    run_stage(fetch_banners.FETCH, warehouse, settings, day(1))
    dry = Warehouse(warehouse.spark, warehouse.root, read_only=True)
    assert run_stage(embed_sample.STAGE, dry, settings, day(1)).rows_out == 9 and not warehouse.exists(LAB_EMBEDDINGS)
    assert run_stage(embed_sample.STAGE, warehouse, settings, day(1)).rows_in == 9
    pixels = {r.content_hash: r.pixel_hash for r in warehouse.read(IMAGE_FETCHES).collect()}
    drawn = {pixels[r.content_hash] for r in warehouse.read(LAB_EMBEDDINGS).collect()}
    assert len(drawn) == 9 and compared(warehouse, settings, own) == drawn
    with pytest.raises(InputError, match="There is no table embeddings"):
        run_stage(CLUSTER, warehouse, settings, day(1))


def test_an_encoder_that_cannot_be_is_refused_before_spark_starts(monkeypatch, capsys):
    monkeypatch.setattr("bannermap.platform.cli.build_session", lambda *given: pytest.fail("Spark was started"))
    assert main(embed_sample.JOB, ["--date", "2026-05-01", "--set", "encoder.name=hf", "--set", "encoder.weights=null"]) == 2
    assert main(embed_sample.JOB, ["--date", "2026-05-01", "--set", "lab.strata=[colour]"]) == 2
    assert "encoder.weights" in capsys.readouterr().err
