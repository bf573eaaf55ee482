"""How much time a comparison may take, and has taken."""

from __future__ import annotations

import time
from collections.abc import Callable

CAUTION = 1.3
"""Times by which an estimate is stretched before it is held against what is left."""


class Budget:
    """Seconds that may pass, from its making on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self.began, self.bound = seconds, clock, clock(), False

    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock() - self.began

    def allows(self, estimate: float, share: float = 1.0) -> bool:
        """Whether something of so many seconds may be started, within a share of the whole; notes where it may not."""
        allowed = self.spent() + estimate * CAUTION <= self.seconds * share
        self.bound |= not allowed
        return allowed
