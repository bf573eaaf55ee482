"""Parameters of strategies: which there are, their ranges, and words for those that are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from bannermap.platform.errors import ConfigError, nearest
from bannermap.platform.settings import ClusteringSettings
from bannermap.platform.settings.common import Cosine, Positive, Section

S = TypeVar("S", bound=Section)
Kind = type[Section]
"""A class of parameters: its fields are their names, types and ranges; one without a default has to be given."""


class Clusters(Section):
    """Of strategies that are told how many clusters to make."""

    clusters: Annotated[int, Field(ge=2)]


class GroupSizes(Section):
    """Of HDBSCAN: rows of the smallest group, and rows that make a place dense."""

    min_cluster_size: Annotated[int, Field(ge=2)]
    min_samples: Positive


class Neighbourhood(Section):
    """Of DBSCAN: cosine of neighbours, and rows within it that make a place dense, itself included."""

    min_cosine: Cosine
    min_samples: Positive


def settings_with(parameters: Mapping[str, Any], configured: ClusteringSettings) -> ClusteringSettings:
    """The configured settings with some values replaced, checked as they are when they are read from a file.

    Args:
        parameters: keys of `ClusteringSettings`; of a section within it, those that are given.
        configured: the others.

    Raises:
        ConfigError: a key that there is not, or a value out of range.
    """
    return _validated("recursive", ClusteringSettings, _over(configured.model_dump(), parameters), parameters)


def checked(strategy: str, kind: Kind, parameters: Mapping[str, Any], configured: ClusteringSettings) -> dict[str, Any]:
    """The parameters as plain values of their types, those that were given and no others.

    Args:
        strategy: name, for messages.
        kind: the strategy's.
        parameters: as configured.
        configured: what parameters of the recursive clustering are laid over.

    Raises:
        ConfigError: a key that there is not, one that is absent, or a value out of range.
    """
    if kind is ClusteringSettings:
        found: Section = settings_with(parameters, configured)
    else:
        found = _validated(strategy, kind, parameters, parameters)
    return {name: value for name, value in found.model_dump(mode="json").items() if name in parameters}


def _over(configured: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(configured)
    for key, value in parameters.items():
        within = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _over(merged[key], value) if within else value
    return merged


def _validated(strategy: str, kind: type[S], values: Mapping[str, Any], given: Mapping[str, Any]) -> S:
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        told = [_told(strategy, kind, given, dict(detail)) for detail in error.errors()]
        raise ConfigError("\n".join(told)) from None


def _told(strategy: str, kind: Kind, given: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    """What is wrong with one parameter, and which there are."""
    place = ".".join(map(str, detail["loc"]))
    known, setting = list(kind.model_fields), f"lab.train.parameters of {strategy}"
    takes = f"{strategy} takes {', '.join(known)}."
    if detail["type"] == "missing":
        return f"{setting} lack {place}: {takes}"
    if detail["type"] == "extra_forbidden":
        wanted = nearest(place, known) if place in given else ""
        return f"{setting} have {place}, which there is not.{wanted if 'Did you' in wanted else ''} {takes}"
    if detail["type"] == "value_error":
        return f"{setting}: {detail['ctx']['error']}."
    return f"{setting}: {place} is {detail['input']!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}. {takes}"
