"""Which users a cluster reaches more than others, without telling of few: lifts with intervals, small cells left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping

import pyarrow as pa

from bannermap.platform.intervals import wilson_bounds


def shown_values(users: Mapping[str, int], min_users: int, allowed: Container[str] | None = None) -> list[str]:
    """The values whose users may be told: what is left out is nothing, or ``min_users`` users or more.

    Values of fewer users are left out. Where these are so few together that the total less all others would tell of them, the
    smallest of the others go too (complementary suppression), until what is left out is large enough. Source: Hundepool et al.
    2012, "Statistical Disclosure Control", chapter 4.

    Args:
        users: value -> users; the total may be known to a reader.
        min_users: at least 2.
        allowed: values that may be told at all; null for all.

    Returns:
        Values, those of most users first; ties by the value, descending.
    """
    forbidden = {value for value in users if allowed is not None and value not in allowed}
    order = sorted(users.keys() - forbidden, key=lambda value: (users[value], value))
    hidden = sum(users[value] for value in forbidden)
    for place, value in enumerate(order):
        if users[value] >= min_users and (hidden == 0 or hidden >= min_users):
            return order[place:][::-1]
        hidden += users[value]
    return []


def audience_rows(
    clusters: Mapping[str, Mapping[str, int]], everyone: Mapping[str, int], min_users: int
) -> Iterator[tuple[str, str, int, float, float, float, float, float]]:
    """Of one attribute: cluster, value, users, share, share of all, lift, and its 95 % interval, for all cells that may be told.

    The lift is the share of a cluster's users who have the value over that of all users, and its interval is Wilson's of the
    share over the latter, which counts as known: it is of all users there are. A value that may not be told of all users
    is told of no cluster, or the shares of the others would give it away.

    Args:
        clusters: cluster -> value -> users; users without the attribute are in no value.
        everyone: value -> users, over all clusters, each user once.
        min_users: see `shown_values`.
    """
    total = sum(everyone.values())
    known = set(shown_values(everyone, min_users))
    for name in sorted(clusters):
        users = clusters[name]
        of = sum(users.values())
        for value in sorted(shown_values(users, min_users, known)):
            share, usual = users[value] / of, everyone[value] / total
            low, high = wilson_bounds(share, of)
            yield name, value, users[value], share, usual, share / usual, low / usual, high / usual


def audience_table(counted: pa.Table, min_users: int) -> pa.Table:
    """`AUDIENCES` of one attribute.

    Args:
        counted: attribute, cluster_id (null for all users), value and users.
        min_users: see `shown_values`.
    """
    clusters: dict[str | None, dict[str, int]] = defaultdict(dict)
    for row in counted.select(["cluster_id", "value", "users"]).to_pylist():
        clusters[row["cluster_id"]][row["value"]] = row["users"]
    everyone = clusters.pop(None, {})
    rows = list(audience_rows({name: users for name, users in clusters.items() if name is not None}, everyone, min_users))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    kinds = [pa.string(), pa.string(), pa.int64(), *[pa.float64()] * 5]
    names = ["cluster_id", "value", "users", "share", "share_of_all", "lift", "lift_low", "lift_high"]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    attribute = pa.array([counted.column("attribute")[0].as_py()] * len(rows), pa.string())
    return pa.table([attribute, *arrays], ["attribute", *names])
