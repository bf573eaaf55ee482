"""Lives of campaigns: who is served when, what events do to designs, and that they look like what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from bannermap.clustering import cluster_vectors
from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.encoders.interface import encode_pictures
from bannermap.embedding.encoders.perceptual import PerceptualEncoder
from bannermap.sample.lives import EVENTS, draw_campaigns, draw_renditions
from bannermap.sample.plan import MEAN_DAYS_PER_BANNER, SIZES
from bannermap.sample.renditions import rendition_file

SEED, DAYS = 7, 14
SMALL = SIZES["small"]


@pytest.fixture(scope="module")
def campaigns():
    return draw_campaigns(SMALL, DAYS, SEED)


@pytest.fixture(scope="module")
def renditions(campaigns):
    """All of the campaigns' banners, also those that come after the world's last day."""
    return draw_renditions(campaigns, SMALL, 60, SEED)


def test_campaigns_start_on_every_day_and_each_event_occurs(campaigns):
    assert {c.start_day for c in campaigns} == set(range(DAYS))
    assert {c.event for c in campaigns if c.event_day is None or c.event_day < DAYS} == set(EVENTS)
    assert any(c.end_day < DAYS for c in campaigns) and any(c.end_day >= DAYS for c in campaigns)


def test_banners_are_served_within_their_campaigns_life(renditions):
    for r in renditions:
        assert r.days >= 1
        assert r.campaign.start_day <= r.first_day and r.first_day + r.days - 1 <= r.campaign.end_day


def test_every_creative_launches_with_its_original_and_gets_more_later(campaigns, renditions):
    first = {}
    for r in renditions:
        first.setdefault(r.creative.number, []).append(r)
    assert set(first) == {c.number for campaign in campaigns for c in campaign.creatives}
    for own in first.values():
        assert (own[0].kind, own[0].first_day) == ("original", own[0].campaign.start_day)
        assert [r.variant for r in own] == list(range(len(own)))
    later = [any(r.first_day > r.campaign.start_day for r in own) for own in first.values()]
    assert np.mean(later) > 0.9


def test_new_designs_come_from_the_events_day_on_and_only_for_the_creatives_concerned(renditions):
    names = {"none": "first", "changed": "revised", "merged": "blend"}
    for r in renditions:
        campaign, place = r.campaign, [c.number for c in r.campaign.creatives].index(r.creative.number)
        concerned = place < {"none": 0, "changed": 1, "merged": 2}[campaign.event]
        assert r.design == (names[campaign.event] if concerned and r.first_day >= campaign.event_day else "first")
        assert (r.creative == campaign.creatives[place]) or r.design != "first"
    assert {r.design for r in renditions} == set(names.values())


def test_serving_days_follow_the_geometric_law_cut_by_the_life(renditions):
    stop = 1.0 / MEAN_DAYS_PER_BANNER
    days, expected, variance = [], 0.0, 0.0
    for r in (r for r in renditions if r.campaign.event == "none"):
        launched = r.first_day == r.campaign.start_day
        life = r.campaign.end_day - r.campaign.start_day + launched
        law = [sum(stop * (1 - stop) ** (k - 1) * min(k, life) ** power for k in range(1, 400)) for power in (1, 2)]
        expected, variance = expected + law[0], variance + law[1] - law[0] ** 2
        days.append(r.days)
    assert abs(sum(days) - expected) < 4 * np.sqrt(variance)
    assert expected / len(days) == pytest.approx(MEAN_DAYS_PER_BANNER, rel=0.05)


def vectors(renditions, settings):
    files = [rendition_file(r, SEED)[0] for r in renditions]
    return encode_pictures(PerceptualEncoder(trim_borders=True), [decode(f, settings.decode).pixels for f in files])


def main_cluster(labels):
    found = labels[labels >= 0]
    return np.bincount(found).argmax() if len(found) else -1


def shared_cluster(campaign, renditions, settings, parts):
    """Whether most banners of each part, a pair of creative and design, lie in the same cluster; over all of both creatives."""
    own = [r for r in renditions if r.campaign is campaign and r.creative.number in campaign.concerned]
    labels = cluster_vectors(vectors(own, settings))
    mains = [main_cluster(labels[[(r.creative.number, r.design) == part for r in own]]) for part in parts]
    return mains[0] == mains[1] >= 0


def happening(campaigns, event, count=8):
    return [c for c in campaigns if c.event == event][:count]


def test_most_siblings_are_two_clusters_until_blends_make_them_one(campaigns, renditions, base_settings):
    before = after = 0
    merged = happening(campaigns, "merged")
    for campaign in merged:
        parts = [(number, "first") for number in campaign.concerned]
        old = [r for r in renditions if r.first_day < campaign.event_day]
        before += shared_cluster(campaign, old, base_settings, parts)
        after += shared_cluster(campaign, renditions, base_settings, parts)
    assert before < 0.2 * len(merged) and after > 0.6 * len(merged)


def test_most_revised_designs_stay_in_the_cluster_of_the_first(campaigns, renditions, base_settings):
    changed = happening(campaigns, "changed")
    same = [
        shared_cluster(c, renditions, base_settings, [(c.concerned[0], design) for design in ("first", "revised")])
        for c in changed
    ]
    assert np.mean(same) > 0.6
