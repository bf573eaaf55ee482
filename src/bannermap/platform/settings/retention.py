"""How long the warehouse keeps what is no longer needed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bannermap.platform.settings.common import Positive, Section


class RetentionSettings(Section):
    """What `maintain_warehouse` removes, see docs/retention.md; null keeps for ever."""

    table_history_hours: Annotated[float, Field(ge=24.0)] = 168.0
    clustering_days: Positive | None = 90
    keep_clusterings: Annotated[int, Field(ge=2)] = 30
    image_days: Positive | None = None
    staging_hours: Annotated[float, Field(ge=24.0)] = 168.0
    compact: bool = True
