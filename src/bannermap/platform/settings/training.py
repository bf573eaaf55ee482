"""Settings of the training of an encoder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bannermap.platform.settings.common import Positive, Section, Share

PATCH_PX = 14


class SceneShares(Section):
    """Of the families of a batch."""

    banners: Share
    photos: Share
    photo_banners: Share
    packages: Share

    @model_validator(mode="after")
    def _are_all(self) -> SceneShares:
        total = self.banners + self.photos + self.photo_banners + self.packages
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the shares add up to {total:g}: make it 1")
        return self


class TrainingSettings(Section):
    """How `train_encoder` trains, and the shape of what it trains."""

    steps: Positive
    max_minutes: Annotated[float, Field(gt=0.0)] | None
    pairs_per_batch: Annotated[int, Field(ge=4, le=4096, multiple_of=4)]
    shares: SceneShares
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)]
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)]
    temperature: Annotated[float, Field(gt=0.0, le=1.0)]
    kept_patch_share: Annotated[float, Field(gt=0.0, le=1.0)]
    full_share: Share
    hidden_size: Annotated[int, Field(ge=16, le=1024, multiple_of=4)]
    layers: Annotated[int, Field(ge=1, le=24)]
    heads: Annotated[int, Field(ge=1, le=16)]
    resolution_px: Annotated[int, Field(ge=28, le=518, multiple_of=PATCH_PX)]
    workers: Annotated[int, Field(ge=0, le=64)]
    threads: Positive
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _heads_divide_a_token(self) -> TrainingSettings:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}: change one of them")
        return self
