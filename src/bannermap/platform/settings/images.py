"""Settings of fetching, decoding and encoding."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bannermap.platform.settings.common import Positive, Seconds, Section, VariableName
from bannermap.platform.settings.places import Address

OWN_SCHEMES = ("file", "http", "https", "s3")
CACHE_SCHEMES = ("file", "s3", "s3a", "gs", "hdfs", "abfs", "abfss")
LOCAL_OR_CHAINED = frozenset(
    {"local", "blockcache", "cached", "filecache", "simplecache", "dir", "reference", "generic", "async_wrapper", "dask"}
    | {"asyncwrapper", "data", "git", "zip", "tar", "libarchive", "root", "arrow_hdfs"}
)
"""Names of fsspec that read the worker's own files, or that stand in front of another scheme which nobody allowed."""


class FetchSettings(Section):
    """What may be fetched, how fast, for how long, and where the bytes are kept."""

    fetch_deadline_s: Seconds
    connect_timeout_s: Seconds
    read_timeout_s: Seconds
    max_bytes: Positive
    concurrency_per_task: Annotated[int, Field(ge=1, le=1024)]
    queued_images: Annotated[int, Field(ge=1, le=100_000)]
    queued_bytes: Positive
    per_host: Annotated[int, Field(ge=1, le=1024)]
    attempts: Annotated[int, Field(ge=1, le=10)]
    max_redirects: Annotated[int, Field(ge=0, le=20)]
    schemes: tuple[str, ...]
    allow_private_addresses: bool
    allowed_networks: tuple[str, ...]
    user_agent: Annotated[str, Field(pattern=r"^[\x20-\x7e]+$")]
    opt_out_directives: tuple[str, ...]
    retry_after_days: Annotated[int, Field(ge=0)]
    give_up_after_days: Annotated[int, Field(ge=0)]
    retry_also: tuple[str, ...]
    image_cache: Address | None

    @field_validator("schemes")
    @classmethod
    def _schemes_have_a_reader(cls, schemes: tuple[str, ...]) -> tuple[str, ...]:
        for scheme in schemes:
            if scheme not in OWN_SCHEMES:
                _check_file_system(scheme)
        return schemes

    @field_validator("allowed_networks")
    @classmethod
    def _networks_are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"{error}: write a network as address/bits, for example 10.20.0.0/16 or fd00:20::/32") from None
        return networks

    @field_validator("image_cache")
    @classmethod
    def _cache_is_reachable(cls, address: str | None) -> str | None:
        scheme = (address or "").partition("://")[0] if "://" in (address or "") else "file"
        if address == "" or scheme not in CACHE_SCHEMES:
            raise ValueError(
                f"{address!r} is neither a folder nor an address of {', '.join(CACHE_SCHEMES)}; null keeps bytes in a table"
            )
        return address


def _check_file_system(scheme: str) -> None:
    """Refuse a scheme that nothing here can read; fsspec is imported only for those that need it."""
    if scheme in LOCAL_OR_CHAINED:
        raise ValueError(f"{scheme} would let an address read any file of a worker: take file, which stays below paths.images")
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"nothing here reads {scheme}:// ({error}): correct the name, or install the package that gives fsspec this scheme, "
            f"on the workers too; without fsspec there are {', '.join(OWN_SCHEMES)}"
        ) from None


class DecodeSettings(Section):
    """What may be decoded, checked before it is."""

    formats: tuple[Literal["jpeg", "png", "gif", "webp", "bmp", "avif"], ...]
    max_pixels: Positive
    max_frame_pixels: Annotated[int, Field(ge=1, le=178_956_970)]  # Pillow opens nothing larger
    max_side_px: Positive
    max_frames: Positive
    max_decode_s: Seconds
    threads_per_task: Annotated[int, Field(ge=1, le=256)]


class RemoteSettings(Section):
    """An HTTP endpoint that makes vectors; used by `encoder.name: remote`."""

    endpoint: Address | None
    model: str | None
    key_variable: VariableName | None
    deadline_s: Seconds
    attempts: Annotated[int, Field(ge=1, le=10)]
    batch_images: Annotated[int, Field(ge=1, le=1024)]


class EncoderSettings(Section):
    """Which encoder makes vectors, and what it looks at."""

    name: Literal["perceptual", "dinov2", "hf", "clip", "remote"]
    weights: Address | None
    resize_mode: Literal["resize", "letterbox", "grid", "center_crop"] | None
    resolution_px: Annotated[int, Field(ge=14, le=2048)] | None
    trim_borders: bool
    emphasis_strength: Annotated[float, Field(ge=0.0, le=100.0)]
    precision: Literal["auto", "fp32", "bf16"]
    gpu_per_task: Annotated[float, Field(ge=0.0, le=16.0)]
    calibration: Address | None
    batch_images: Annotated[int, Field(ge=1, le=4096)]
    max_batch_tokens: Annotated[int, Field(ge=16, le=10_000_000)]
    chain: tuple[EncoderLink, ...]
    remote: RemoteSettings


class EncoderLink(Section):
    """A further encoder of a chain. These keys are its own, null where they are not given; the others are the first one's."""

    name: Literal["perceptual", "dinov2", "hf", "clip", "remote"]
    weights: Address | None = None
    resize_mode: Literal["resize", "letterbox", "grid", "center_crop"] | None = None
    resolution_px: Annotated[int, Field(ge=14, le=2048)] | None = None
    calibration: Address | None = None


EncoderSettings.model_rebuild()
