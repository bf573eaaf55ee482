"""Addresses and Spark settings without credentials: those come from each machine's own chain, never from a configuration."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

CREDENTIALS = re.compile(
    r"fs\.s3[an]?\..*(access\.?key|secret|session\.token)|fs\.azure\..*(account\.key|secret|password|sas\.)"
    r"|fs\.gs\..*(private\.key|secret|token)",
    re.IGNORECASE,
)
"""Settings of Hadoop that are keys themselves. Names of files, providers and roles are none."""
MEND = "leave it to the standard chain: environment, shared files, the machine's role (docs/object_stores.md)"


def _without_credentials(address: str) -> str:
    """An address; its text, which may be a key, is never part of the message."""
    scheme, separator, rest = address.partition("://")
    host = rest.partition("/")[0]
    if separator and "@" in host and (":" in host or scheme.startswith("s3")):  # abfs has container@account
        raise ValueError(f"the {scheme} address holds a login, which would be kept in `runs` and in logs; {MEND}")
    return address


def _known_to_spark(address: str) -> str:
    if address.startswith(("s3://", "s3n://")):
        raise ValueError(f"Spark reaches S3 by the scheme s3a: write s3a://{address.partition('://')[2]}")
    return _without_credentials(address)


def _settings_without_credentials(extra: dict[str, str]) -> dict[str, str]:
    for name in extra:
        if CREDENTIALS.search(name):
            raise ValueError(f"{name} is a credential, which would be kept in `runs` and in logs; {MEND}")
    return extra


Address = Annotated[str, AfterValidator(_without_credentials)]
SparkAddress = Annotated[str, AfterValidator(_known_to_spark)]
SparkExtra = Annotated[dict[str, str], AfterValidator(_settings_without_credentials)]
