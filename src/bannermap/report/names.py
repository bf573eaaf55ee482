"""What is shown of ids that nobody reads to their end."""

from __future__ import annotations

import re

from bannermap.platform.tables import UNCLUSTERED

HASH_SHOWN = 12
"""Letters of a hash: two of them agreeing is beyond belief."""
NAME_SHOWN = 8


def brief_id(name: str) -> str:
    """The first letters of a hash; a name that people gave, or that counts, stays whole.

    Args:
        name: of a banner, perhaps by its address alone (``url:`` before the hash), of a picture, of a cluster.
    """
    digits = name.removeprefix("url:")
    return name[: len(name) - len(digits) + HASH_SHOWN] if re.fullmatch("[0-9a-f]{32,}", digits) else name


def short_name(cluster_id: str) -> str:
    """What a cluster is called on the pages: the first letters of a hash, the number that ends the id of a saved model's cluster.

    What is in no cluster keeps its whole name.
    """
    return cluster_id if cluster_id == UNCLUSTERED else cluster_id.rpartition("-")[2][:NAME_SHOWN]
