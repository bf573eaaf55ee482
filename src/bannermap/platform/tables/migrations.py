"""How a stored table of one version becomes the next: steps that are declared beside the table and applied by `migration.py`."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AddColumns:
    """New columns, which are null for old rows unless ``values`` says what they hold.

    Attributes:
        names: the columns, as declared in the table.
        about: what old rows hold in them, for people.
        values: null, or a SELECT of the table's key and the new columns; ``{name}`` stands for the stored table of that name.
            It may depend on stored rows only, so that a step that was cut off gives the same when it is repeated.
    """

    names: tuple[str, ...]
    about: str
    values: str | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tables that ``values`` reads."""
        return tuple(sorted({name for _, name, _, _ in string.Formatter().parse(self.values or "") if name}))

    def text(self) -> str:
        """The step as a part of a sentence."""
        return f"adds {', '.join(self.names)} ({self.about})"


@dataclass(frozen=True)
class Relay:
    """Another layout: the whole table is written again, in one commit, with new columns that follow from each row.

    Attributes:
        values: new column -> SQL over the row.
        about: what changes.
    """

    values: Mapping[str, str]
    about: str

    @property
    def names(self) -> tuple[str, ...]:
        """The new columns."""
        return tuple(self.values)

    def text(self) -> str:
        """The step as a part of a sentence."""
        return f"writes all rows again, with {', '.join(self.names)} ({self.about})"


@dataclass(frozen=True)
class Rebuild:
    """The new version cannot be derived from the stored one: the table has to be moved away and made again.

    Attributes:
        job: the job that makes it.
        about: what changed.
    """

    job: str
    about: str

    def text(self) -> str:
        """The step as a part of a sentence."""
        return f"cannot be derived ({self.about}): move the table away and run {self.job} again for its days"


Migration = AddColumns | Relay | Rebuild
