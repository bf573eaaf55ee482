"""Encoders in order: each gets the pictures that those before it could not encode. One encoder is a chain of one."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bannermap.embedding.decoding.views import View
from bannermap.embedding.encoders.interface import Encoder, EncoderUnavailable, make_encoder
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import EncoderSettings


@dataclass(frozen=True)
class Made:
    """A picture's vector.

    Attributes:
        encoder_id: who made it.
        vector: float32 (d,), of unit length.
        emphasis: uint8 (CELLS, CELLS), see `Encoded`; null where its encoder gives none.
    """

    encoder_id: str
    vector: np.ndarray
    emphasis: np.ndarray | None = None


Outcome = Made | EncoderUnavailable
"""A vector, or why there is none."""


@dataclass(frozen=True)
class Link:
    """One encoder of a chain.

    Attributes:
        encoder: which.
        at_once: pictures that it takes together; those of a call that fails all go to the next link.
    """

    encoder: Encoder
    at_once: int


class Chain:
    """See the module."""

    def __init__(self, links: Sequence[Link]) -> None:
        """Take the links in order.

        Raises:
            ConfigError: two have the same encoder_id.
        """
        self._links = tuple(links)
        self.encoder_ids: tuple[str, ...] = tuple(link.encoder.encoder_id for link in links)
        twice = sorted({i for i in self.encoder_ids if self.encoder_ids.count(i) > 1})
        if twice:
            raise ConfigError(
                f"encoder.chain names {twice[0]} twice: what it could not encode it will not encode a moment later. "
                "Leave one out."
            )

    def check(self) -> None:
        """Say what is wrong with the configuration of any link; see `Encoder.check`."""
        for link in self._links:
            link.encoder.check()

    def prepare(self, pixels: np.ndarray) -> tuple[View, ...]:
        """What each encoder looks at, in order; for threads, see `Encoder.prepare`."""
        return tuple(link.encoder.prepare(pixels) for link in self._links)

    def encode(self, inputs: Sequence[tuple[View, ...]]) -> list[Outcome]:
        """One outcome per picture, in order.

        Args:
            inputs: what `prepare` gave.
        """
        made: list[Made | None] = [None] * len(inputs)
        reasons: list[list[str]] = [[] for _ in inputs]
        for number, link in enumerate(self._links):
            waiting = [place for place, one in enumerate(made) if one is None]
            for places in _slices(waiting, link.at_once):
                rows = _rows(link.encoder, self.encoder_ids[number], [inputs[p][number] for p in places])
                for place, row in zip(places, rows, strict=True):
                    if isinstance(row, str):
                        reasons[place].append(f"{self.encoder_ids[number]}: {row}")
                    else:
                        made[place] = row
        return [one or EncoderUnavailable("; ".join(why)) for one, why in zip(made, reasons, strict=True)]


@functools.cache
def make_chain(settings: EncoderSettings) -> Chain:
    """The configured encoder and those of its chain; one per process and settings, see `make_encoder`.

    Raises:
        ConfigError: the settings of one can't be right, or two are the same.
    """
    return Chain([_link(one) for one in (settings.model_copy(update={"chain": ()}), *_further(settings))])


def check_encoders(settings: EncoderSettings) -> None:
    """Raise ConfigError for whatever is wrong with the configured encoders; for the driver, before Spark starts."""
    make_chain(settings).check()


def _further(settings: EncoderSettings) -> Iterator[EncoderSettings]:
    for link in settings.chain:
        yield settings.model_copy(update={**link.model_dump(), "chain": ()})


def _link(settings: EncoderSettings) -> Link:
    at_once = settings.remote.batch_images if settings.name == "remote" else settings.batch_images
    return Link(make_encoder(settings), at_once)


def _rows(encoder: Encoder, encoder_id: str, inputs: list[View]) -> Sequence[Made | str]:
    """Per input its vector, or why there is none."""
    try:
        encoded = encoder.encode(inputs)
    except EncoderUnavailable as failure:
        return [str(failure)] * len(inputs)
    usable = np.isfinite(encoded.vectors).all(axis=1)
    maps = [None] * len(inputs) if encoded.emphasis is None else list(encoded.emphasis)
    made = [Made(encoder_id, vector, seen) for vector, seen in zip(encoded.vectors, maps, strict=True)]
    return [one if ok else "the model gave nothing that has a direction" for one, ok in zip(made, usable, strict=True)]


def _slices(places: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]
