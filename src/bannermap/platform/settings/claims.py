"""How runs that want the same place at the same time are kept apart."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bannermap.platform.settings.common import Seconds, Section


class ClaimSettings(Section):
    """See docs/operations.md and `platform.claims`."""

    heartbeat_s: Seconds = 10.0
    expire_s: Seconds = 60.0
    writer_wait_s: Annotated[float, Field(ge=0.0)] = 7200.0

    @model_validator(mode="after")
    def _several_beats_may_be_missed(self) -> ClaimSettings:
        if self.expire_s < 3 * self.heartbeat_s:
            raise ValueError(
                f"expire_s is {self.expire_s:g} and heartbeat_s {self.heartbeat_s:g}: a run whose machine is busy would be taken "
                "for dead. Take at least three beats"
            )
        return self
