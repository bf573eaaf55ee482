"""How clusterings are published to MongoDB."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bannermap.platform.settings.common import Positive, Seconds, Section, VariableName


class PublishSettings(Section):
    """Where `publish_clusters` writes, how much at once, and how long it waits; the environment has the address itself."""

    uri_variable: VariableName = "BANNERMAP_MONGODB_URI"
    database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,63}$")] = "bannermap"
    keep_runs: Annotated[int, Field(ge=2, le=10_000)] = 7
    members_per_page: Annotated[int, Field(ge=1, le=100_000)] = 2000
    documents_per_write: Annotated[int, Field(ge=1, le=100_000)] = 500
    writers: Positive = 4
    attempts: Positive = 6
    backoff_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.5
    select_timeout_s: Seconds = 10.0
    write_timeout_s: Seconds = 60.0
