"""A fitted strategy with everything that it takes to give new vectors a cluster, and how it is kept in a folder.

A folder holds model.json (what it is) and arrays.npz (numbers alone, nothing that could be run): any file system or object store
holds it, and it says nothing that depends on the program that wrote it but its format's number.
"""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bannermap.lab.projection import Projection, aspect_buckets
from bannermap.lab.rules import KINDS, Rule, arrays_of, most_similar
from bannermap.platform.errors import InputError

FORMAT = 1
DESCRIPTION, ARRAYS = "model.json", "arrays.npz"
THEMES = "themes_"
"""Before the number of themes, in names of arrays."""
PLAIN = ("model_id", "encoder_id", "dimensions", "strategy", "version")


@dataclass(frozen=True)
class Sizes:
    """Pixels of pictures, where they are known: int or float (n,) each, 0 for not known."""

    width: np.ndarray
    height: np.ndarray

    def of(self, rows: np.ndarray) -> Sizes:
        """Of some rows."""
        return Sizes(self.width[rows], self.height[rows])


@dataclass(frozen=True)
class Model:
    """A fitted strategy.

    Attributes:
        rules: bucket -> rule; one bucket, 0, where nothing was bucketed. A bucket without a rule has no cluster.
        first_labels: bucket -> the label of its rule's cluster 0; clusters of buckets are numbered one after the other.
        projection: applied before the rule; None for vectors as they are.
        bucketing: none, aspect or cell.
        cells: float32 (c, d), centres of the buckets where these are cells, else None.
    """

    rules: Mapping[int, Rule]
    first_labels: Mapping[int, int]
    projection: Projection | None = None
    bucketing: str = "none"
    cells: np.ndarray | None = None

    def predict(self, vectors: np.ndarray, sizes: Sizes | None = None) -> np.ndarray:
        """int64 (n,), -1 for none.

        Args:
            vectors: (n, d), unit rows of the encoder that the model was made for.
            sizes: of the pictures, where the model has buckets by aspect; without, all count as square.
        """
        result = np.full(len(vectors), -1, np.int64)
        if not len(vectors):
            return result
        bucket = self.buckets(vectors, sizes)
        seen = self.projection.applied(vectors) if self.projection else np.asarray(vectors, np.float32)
        for number, rule in self.rules.items():
            rows = np.flatnonzero(bucket == number)
            found = rule.predict(seen[rows]) if len(rows) else np.empty(0, np.int64)
            result[rows] = np.where(found >= 0, found + self.first_labels[number], -1)
        return result

    def buckets(self, vectors: np.ndarray, sizes: Sizes | None) -> np.ndarray:
        """int64 (n,), the bucket of each vector."""
        if self.bucketing == "cell" and self.cells is not None:
            return most_similar(vectors, self.cells)[0]
        if self.bucketing == "aspect" and sizes is not None:
            return aspect_buckets(sizes.width, sizes.height)
        if self.bucketing == "aspect":
            return aspect_buckets(np.zeros(len(vectors)), np.zeros(len(vectors)))
        return np.zeros(len(vectors), np.int64)


@dataclass(frozen=True)
class SavedModel:
    """A model and where it comes from.

    Attributes:
        model: it.
        encoder_id: whose vectors it knows; of no other will it say anything.
        dimensions: of these vectors.
        strategy: name.
        parameters: of the strategy, what was done to vectors before it, and the section `clustering` where it goes by that.
        first_dt: first day of the banners that it was made of, None where they had none.
        last_dt: last day; it may be applied to banners of this day and later.
        version: of the program that made it.
        model_id: name: the last day and a hash of all of this.
        facts: figures of the fit, for people.
        centroids: float32 (clusters, d), unit length, of what it was made of; zeros for a cluster without any. Empty where a
            model was kept before these were.
        themes: number of themes -> float32 (themes, d), unit length, by slot: the same for every day that it is applied to.
    """

    model: Model
    encoder_id: str
    dimensions: int
    strategy: str
    parameters: Mapping[str, Any]
    first_dt: datetime.date | None
    last_dt: datetime.date | None
    version: str
    model_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    centroids: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    themes: Mapping[int, np.ndarray] = field(default_factory=dict)

    def check_encoder(self, encoder_id: str, dimensions: int | None = None) -> None:
        """Refuse vectors of another encoder.

        Raises:
            InputError: they are, or have another number of dimensions.
        """
        if encoder_id != self.encoder_id:
            raise InputError(
                f"The model {self.model_id or self.strategy} was made of vectors by {self.encoder_id}, and these are by "
                f"{encoder_id}: vectors of two encoders cannot be compared. Take vectors by the former, or train on these."
            )
        if dimensions not in (None, self.dimensions):
            raise InputError(
                f"The model {self.model_id or self.strategy} takes vectors of {self.dimensions} dimensions, and these have "
                f"{dimensions}. Take vectors by {self.encoder_id}, unchanged."
            )


def packed(saved: SavedModel) -> tuple[str, bytes]:
    """The two files of a model's folder: the text of model.json and the bytes of arrays.npz.

    Args:
        saved: what to keep.
    """
    model = saved.model
    arrays = {f"rule_{b}_{name}": a for b, rule in model.rules.items() for name, a in arrays_of(rule).items()}
    if model.projection:
        arrays |= {"projection_mean": model.projection.mean, "projection_directions": model.projection.directions}
    if model.cells is not None:
        arrays["cells"] = model.cells
    arrays |= {"centroids": saved.centroids} if saved.centroids.size else {}
    arrays |= {f"{THEMES}{k}": centroids for k, centroids in sorted(saved.themes.items())}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    rules = [{"bucket": b, "kind": r.kind, "first_label": model.first_labels[b]} for b, r in sorted(model.rules.items())]
    text = {
        "format": FORMAT,
        **{name: getattr(saved, name) for name in PLAIN},
        "parameters": dict(saved.parameters),
        **{name: str(day) if day else None for name, day in (("first_dt", saved.first_dt), ("last_dt", saved.last_dt))},
        "bucketing": model.bucketing,
        "projection": {"unit": model.projection.unit} if model.projection else None,
        "rules": rules,
        "facts": dict(saved.facts),
    }
    return json.dumps(text, indent=1), buffer.getvalue()


def unpacked(text: str, data: bytes, place: str) -> SavedModel:
    """A model from its two files.

    Args:
        text: of model.json.
        data: of arrays.npz.
        place: folder, for messages.

    Raises:
        InputError: they are not what `packed` writes.
    """
    try:
        said = json.loads(text)
        if said["format"] != FORMAT:
            raise InputError(
                f"{place} holds a model of format {said['format']}, and this program reads {FORMAT}: train it again."
            )
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _assembled(said, arrays)
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{place} is no model that train_strategy wrote, or it is damaged ({type(error).__name__}: {error}). Train it again."
        ) from None


def _assembled(said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SavedModel:
    rules: dict[int, Rule] = {}
    for entry in said["rules"]:
        prefix = f"rule_{entry['bucket']}_"
        rules[entry["bucket"]] = KINDS[entry["kind"]](
            **{name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
        )
    projection = None
    if said["projection"]:
        projection = Projection(arrays["projection_mean"], arrays["projection_directions"], said["projection"]["unit"])
    first = {entry["bucket"]: entry["first_label"] for entry in said["rules"]}
    model = Model(rules, first, projection, said["bucketing"], arrays.get("cells"))
    days = {name: datetime.date.fromisoformat(said[name]) if said[name] else None for name in ("first_dt", "last_dt")}
    fields: dict[str, Any] = {name: said[name] for name in (*PLAIN, "parameters", "facts")} | days
    themes = {int(name.removeprefix(THEMES)): a for name, a in arrays.items() if name.startswith(THEMES)}
    return SavedModel(model=model, centroids=arrays.get("centroids", np.empty((0, 0), np.float32)), themes=themes, **fields)
