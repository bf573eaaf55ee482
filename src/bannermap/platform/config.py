"""From files and ``--set`` to one frozen `Settings`; whatever is wrong ends here, before Spark starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from bannermap.platform.errors import ConfigError, nearest
from bannermap.platform.settings import Settings

WHOLE = frozenset({("feature_grid", "sets"), ("lab", "train", "parameters")})
"""Maps that are one choice: who gives such a map means it and no entry of the one before. Base has sets that nobody could be rid
of otherwise, and parameters are those of one strategy. Others (`spark.extra`, `monitoring.due_hours`, `features.sets`) hold
nothing in base, and overlays add to each other's."""


def load_settings(base: Path, overlays: Sequence[Path] = (), assignments: Sequence[str] = ()) -> Settings:
    """Resolve the configuration: base, then overlays in order, then ``section.key=value`` assignments.

    Maps are merged key by key, but for those in `WHOLE`; an assignment to a key inside of one of these changes that key alone.

    Args:
        base: the file with every key.
        overlays: files with some keys each.
        assignments: ``--set`` values; the value is read as YAML.

    Raises:
        ConfigError: unreadable file, unknown key, or a value out of range.
    """
    resolved = _read(base)
    for path in overlays:
        resolved = _merged(resolved, _read(path))
    for assignment in assignments:
        keys, value = _parsed(assignment)
        resolved = _assigned(resolved, keys, value)
    try:
        return Settings.model_validate(resolved)
    except ValidationError as error:
        raise ConfigError(_explained(error)) from None


def settings_json(settings: BaseModel) -> str:
    """Canonical JSON of settings: equal settings give equal text."""
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)


def settings_hash(settings: BaseModel) -> str:
    """Sha256 of `settings_json`, hexadecimal."""
    return hashlib.sha256(settings_json(settings).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}. Check the path given to --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. A configuration is a text file in YAML.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}. Compare its indentation with conf/base.yaml.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold sections with keys, as conf/base.yaml does; it holds a {type(content).__name__}.")
    return content


def _parsed(assignment: str) -> tuple[list[str], Any]:
    name, equals, value = assignment.partition("=")
    section, *keys = name.strip().split(".")
    if not (equals and section and keys and all(keys)):
        raise ConfigError(f"--set takes section.key=value, got '{assignment}'. For example: --set clustering.k_neighbors=30")
    try:
        return [section, *keys], yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {name}: '{value}' cannot be read: {error}") from None


def _assigned(base: Mapping[str, Any], keys: Sequence[str], value: Any, place: tuple[str, ...] = ()) -> dict[str, Any]:
    """The configuration with one key set, which may lie deep, as encoder.remote.endpoint does."""
    key, *rest = keys
    if not rest:
        return _merged(base, {key: value}, place)
    inner = base.get(key)
    return {**base, key: _assigned(inner if isinstance(inner, Mapping) else {}, rest, value, (*place, key))}


def _merged(base: Mapping[str, Any], overlay: Mapping[str, Any], place: tuple[str, ...] = ()) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overlay.items():
        here = (*place, key)
        both = here not in WHOLE and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value, here) if both else value
    return merged


def _explained(error: ValidationError) -> str:
    return "\n".join(_explained_one(dict(e)) for e in error.errors())


def _explained_one(detail: dict[str, Any]) -> str:
    location = cast(tuple[Any, ...], detail["loc"])
    name = ".".join(map(str, location))
    if detail["type"] == "extra_forbidden":
        return f"There is no setting {name}.{nearest(str(location[-1]), _known_keys(location[:-1]))}"
    if detail["type"] == "missing":
        return f"{name} is not set. Take it from conf/base.yaml."
    if detail["type"] == "value_error":
        return f"{name}: {detail['ctx']['error']}" if name else str(detail["ctx"]["error"])
    given = detail["input"]
    return f"{name} is {given!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}.{_percentage_hint(detail, given)}"


def _percentage_hint(detail: dict[str, Any], given: Any) -> str:
    looks_like_percent = detail["type"] == "less_than_equal" and isinstance(given, int | float) and 1 < given <= 100
    return f" It is a share or a cosine, not a percentage: did you mean {given / 100:g}?" if looks_like_percent else ""


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    model: Any = Settings
    for part in location:
        if get_origin(model) is dict:  # the part is a name that somebody chose
            model = get_args(model)[1]
        elif isinstance(part, str):  # a number is a place in a list, whose items are of one model
            found = model.model_fields[part].annotation
            model = get_args(found)[0] if get_origin(found) is tuple else found
    return list(model.model_fields)
