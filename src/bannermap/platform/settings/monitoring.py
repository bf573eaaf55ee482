"""What is due when, and where figures of runs go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from bannermap.platform.errors import nearest
from bannermap.platform.settings.common import Section
from bannermap.platform.settings.places import Address
from bannermap.platform.status import SCHEDULED


class MonitoringSettings(Section):
    """See docs/operations.md."""

    due_hours: dict[str, Annotated[float, Field(ge=0.0, le=24.0 * 31)]] = Field(default_factory=dict)
    metrics_folder: Address | None = None
    log_format: Literal["text", "json"] = "text"

    @field_validator("due_hours")
    @classmethod
    def _jobs_of_a_day(cls, hours: dict[str, float]) -> dict[str, float]:
        for job in hours:
            if job not in SCHEDULED:
                raise ValueError(f"there is no daily job {job!r}.{nearest(job, SCHEDULED)}")
        return hours
