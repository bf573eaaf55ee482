"""The card of a checkpoint: what it is, what it was made of, how, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bannermap.training.loop import Progress

TEXT = """# A small image encoder for banners

A DINOv2 network ({hidden_size} wide, {layers} layers, {heads} heads, patches of 14 pixels, {resolution_px} x {resolution_px}
pixels), trained by `train_encoder` from {start}. Load it with `encoder.name: dinov2` and `encoder.weights: FOLDER`; its
vector is the class token, the emphasised mean twice and the maximum of the patches, {dimensions} numbers.

## Data

- {photos} photos from a folder of the user. {about}
- Drawn without end: banners of the sample world, photos inside such banners, and packages on shelves.
- Of each batch: {mixture}. Look-alikes come in families of four that share brand, layout or palette and count as different.

## Recipe

Two views of each thing; each has to find its partner among all others (InfoNCE on the pooled vector itself, temperature
{temperature}). Views differ by size and aspect, crop, colours, compression, blur, stickers, words and price; photos and packages
also by perspective and light. AdamW, learning rate {learning_rate}, weight decay {weight_decay}, half a cosine over the schedule;
{kept_patch_share:.0%} of the patches until the last {full_share:.0%} of the steps; bf16; emphasis {strength:g}.
Seed {seed}: weights and every batch follow from it; sums of floating point depend on the machine and its threads.

{steps_done} steps of {pairs_per_batch} pairs, {images:,} pictures seen, in {minutes:.0f} minutes; last loss {loss:.3f}.

## Limits

It knows looks, not words or brands: two ads of one product that share no shape or colour stay apart. It was never shown people's
faces, medical or satellite pictures, or scripts other than Latin. Photos of one kind of thing lie nearer to each other than
banners do, so read a threshold with the strangers' cosines of your own data beside it. A large public checkpoint sees more.
"""


def card(training: Mapping[str, Any], emphasis_strength: float, last: Progress, facts: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        training: the section of the configuration.
        emphasis_strength: of the pooling.
        last: where training ended.
        facts: ``photos``, ``minutes``, ``about`` and ``start``.
    """
    mixture = ", ".join(f"{share:.0%} {name.replace('_', ' ')}" for name, share in training["shares"].items())
    return TEXT.format(
        **{**training, **facts},
        mixture=mixture,
        strength=emphasis_strength,
        steps_done=last.step,
        loss=last.loss,
        images=last.step * 2 * training["pairs_per_batch"],
        dimensions=4 * training["hidden_size"],
    )
