"""What all sections of the configuration share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LEAST_KEY_CHARACTERS = 32
"""Of the key of pseudonyms. Names of variables must be shorter, so that no key is ever taken for a name and then printed."""

Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0.0)]


def _variable_name(name: str) -> str:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or len(name) >= LEAST_KEY_CHARACTERS:
        raise ValueError(
            f"it must be the name of an environment variable, of letters, digits and _, shorter than {LEAST_KEY_CHARACTERS} "
            "characters; the key itself belongs into that variable and never into the configuration"
        )
    return name


VariableName = Annotated[str, AfterValidator(_variable_name)]


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
