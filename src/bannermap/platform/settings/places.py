"""Addresses and Spark settings without credentials: those come from each machine's own chain, never from a configuration."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

SECRETS = (
    r"(?i)secret|password|token|access[._]?key|api[._]?key|account[.]key\b|private[.]?key|fs[.]azure[.]sas[.]"
    r"|bannermap_\w*key|bannermap_\w*uri|mongodb(\+srv)?://|erase_user"
)
"""For Spark, which matches names of settings and their values, and hides the value of either: on the environment page, in the log
and in event logs. Beside keys it finds MongoDB's address, the key of pseudonyms and that of a catalogue of lineage, which reach a
cluster's driver as properties, and the users of erase_user, who stand in the JVM's command line."""
NO_SECRETS = re.compile(
    r"(?i)(file|path|name|provider|binding|class|enabled|required|length|bits|type|interval|exclude)$"
    r"|^spark\.kubernetes\.(driver|executor)\.(secrets|secretKeyRef)\."
)
"""Settings that say where a key is, or how keys are dealt with."""
LOGIN = re.compile(r"(?i)://[^\s/@]*:[^\s/@]*@|(https?|s3[an]?)://[^\s/@]*@|s3[an]?://[^\s/@]*:[^\s@]*@")
"""A name and a password, or for http and S3, where it may be a key, a name alone; abfs has container@account. Keys of S3 hold
slashes, and nothing else there holds a colon."""
QUERY_KEY = re.compile(
    r"(?i)://\S*[?&;#]"
    r"([\w.-]*(secret|password|passwd|pwd|passphrase|token|signature|credential)|sig|sas|auth|jwt"
    r"|([\w.-]*(api|access|account|secret|private|subscription|functions|shared|auth|license|encryption)[._-]?)?key([._-]?id)?)="
    r"(?!(none|null|true|false)([\s&;#]|$))[^\s&;#]"
)
"""A value under a name that ends as those of keys, tokens and signed addresses do: api_key, sig, X-Amz-Signature. ``max_tokens``
and ``sort_key`` are none, nor is a folder ``token=...`` of a path, nor a value that says that there is none."""
ENDPOINTS_MEND = "leave it to the environment: encoder.remote.key_variable names the variable that holds the key of an endpoint"
MEND = "leave it to the standard chain: environment, shared files, the machine's role (docs/object_stores.md)"
SPARKS_MEND = f"{MEND}, or give what is Spark's own to spark-submit, in a file for --properties-file that only you can read"


def _without_credentials(address: str) -> str:
    """An address; its text, which may be a key, is never part of the message."""
    held = _credential_in(address)
    if held:
        scheme = address.partition("://")[0]
        mend = ENDPOINTS_MEND if scheme.lower() in ("http", "https") else MEND
        raise ValueError(f"the {scheme} address holds {held}, which would be kept in `runs` and in logs; {mend}")
    return address


def _credential_in(text: str) -> str | None:
    """What credential an address in a text holds, in words that do not repeat it; None where it holds none."""
    if LOGIN.search(text):
        return "a login"
    readings = [reading for word in text.split() for reading in (word, re.sub(r"\s", "_", unquote(word)))]
    return "a key in its query" if any(map(QUERY_KEY.search, readings)) else None


def _known_to_spark(address: str) -> str:
    _without_credentials(address)  # first: the other message repeats the address
    if address.startswith(("s3://", "s3n://")):
        raise ValueError(f"Spark reaches S3 by the scheme s3a: write s3a://{address.partition('://')[2]}")
    return address


def _settings_without_credentials(extra: dict[str, str]) -> dict[str, str]:
    for name, value in extra.items():
        if re.search(SECRETS, name) and not NO_SECRETS.search(name):
            raise ValueError(f"{name} is a credential, which would be kept in `runs` and in logs; {SPARKS_MEND}")
        held = _credential_in(value)
        if held:
            raise ValueError(f"{name} holds an address with {held}, which would be kept in `runs` and in logs; {SPARKS_MEND}")
    return extra


Address = Annotated[str, AfterValidator(_without_credentials)]
SparkAddress = Annotated[str, AfterValidator(_known_to_spark)]
SparkExtra = Annotated[dict[str, str], AfterValidator(_settings_without_credentials)]
