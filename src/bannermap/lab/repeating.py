"""A comparison that is run again on the same pictures tries what the earlier run tried, however fast the machine is by now."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bannermap import __version__
from bannermap.lab.data import Pictures

REPEATED = (
    "repeats the comparison that is there, of the same pictures and settings; what had no time then ({left_out}) "
    "is left out again; for another choice change lab.budget_s"
)


def earlier_left_out(summary: str | None, name: str, pictures: Mapping[str, Pictures]) -> dict[str, list[str]]:
    """What an earlier run left out for want of time.

    Args:
        summary: its summary.json, None where there is none.
        name: of the comparison; that of other settings does not count, nor does one by another version of this package.
        pictures: encoder_id -> what is compared now; an encoder of which others were compared does not count.

    Returns:
        encoder_id -> what `Budget.left_out` held; without an encoder that there was none of.
    """
    try:
        told = json.loads(summary or "{}")
    except json.JSONDecodeError:  # cut off while it was written: that run has not ended
        return {}
    if (told.get("comparison_id"), told.get("bannermap_version")) != (name, __version__):
        return {}
    known = {part["encoder_id"]: part for part in told["encoders"]}
    return {
        encoder_id: known[encoder_id]["left_out_for_want_of_time"]
        for encoder_id, found in pictures.items()
        if encoder_id in known and known[encoder_id]["pictures_digest"] == found.digest()
    }
