"""Which of several encoders: by measures that mean the same whatever the vectors are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ACROSS_ENCODERS = ("truth_ari", "pairs_right", "advertiser_ami")
"""The first that is known decides. Scores lie in each encoder's own space: a silhouette of one says nothing beside another's."""


@dataclass(frozen=True)
class EncoderChoice:
    """Which encoder.

    Attributes:
        encoder_id: the one to train on; None where nothing can tell them apart.
        reason: a sentence.
    """

    encoder_id: str | None
    reason: str


def best_encoder(figures: Mapping[str, Mapping[str, float]], smallest_difference: float) -> EncoderChoice:
    """Choose among encoders by the figures of what each one's comparison recommends.

    Args:
        figures: encoder_id -> name -> value, of the same pictures; one encoder or more.
        smallest_difference: of a measure, that would be worth having; less is said to be a tie.
    """
    names = sorted(figures)
    if len(names) == 1:
        return EncoderChoice(names[0], f"{names[0]} is the only encoder.")
    for measure in ACROSS_ENCODERS:
        values = {name: figures[name].get(measure, float("nan")) for name in names}
        if np.isfinite(list(values.values())).all():
            first, second = sorted(names, key=lambda name: (-values[name], name))[:2]
            by = values[first] - values[second]
            said = f"{measure} {values[first]:.3f}, {by:.3f} more than {second}"
            tie = ", which is a tie" if by < smallest_difference else ""
            return EncoderChoice(first, f"{first} has the best {said}{tie}.")
    return EncoderChoice(
        None,
        f"Nothing tells {', '.join(names)} apart: their scores lie in different spaces, and neither judged pairs (lab.pairs) nor "
        "advertisers are known for all. Name one in lab.encoder_ids.",
    )
