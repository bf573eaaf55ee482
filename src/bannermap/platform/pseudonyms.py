"""Keyed pseudonyms of user ids, and the digests by which erased users are known again.

A pseudonym is ``u_`` and the 64 lower-case hexadecimal digits of HMAC-SHA-256 (RFC 2104) over the UTF-8 bytes of the user id.
The key is the UTF-8 text of an environment variable, without blanks around it and never decoded, so that any tool that knows
the text gives the same pseudonyms: ``hmac.new(text.encode(), user_id.encode(), "sha256")``.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import LEAST_KEY_CHARACTERS, Settings

PREFIX = "u_"
KEY_ID_LABEL = b"bannermap key id"
LEAST_HEX_DIGITS = 64
LEAST_DIFFERENT_CHARACTERS = 8


@dataclass(frozen=True)
class UserKey:
    """The key of the pseudonyms; its text form shows its id only.

    Attributes:
        secret: bytes of the key.
    """

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """Eight hexadecimal digits that tell keys apart and give nothing of them away."""
        return hmac.digest(self.secret, KEY_ID_LABEL, "sha256").hex()[:8]

    def pseudonym(self, user_id: bytes) -> str:
        """The pseudonym of the UTF-8 bytes of a user id."""
        return PREFIX + hmac.digest(self.secret, user_id, "sha256").hex()


def user_key(settings: Settings) -> UserKey | None:
    """The key that the configuration asks for; null where user ids are stored as they come.

    Raises:
        ConfigError: it is absent or too weak; the message says nothing of its content.
    """
    if not settings.features.pseudonymise_users:
        return None
    name = settings.features.pseudonym_key_variable
    text = os.environ.get(name, "").strip()
    weakness = _weakness(text)
    if weakness:
        raise ConfigError(
            f"features.pseudonymise_users is on, and the environment variable {name} {weakness}: pseudonyms made with it could "
            "be turned back by trying. Put a random key into it, for example from "
            f"`openssl rand -hex {LEAST_HEX_DIGITS // 2}`, and keep the same one for as long as the warehouse."
        )
    return UserKey(text.encode())


def _weakness(text: str) -> str | None:
    if not text:
        return "is not set"
    if len(text) < LEAST_KEY_CHARACTERS:
        return f"holds {len(text)} characters, fewer than {LEAST_KEY_CHARACTERS}"
    if re.fullmatch("[0-9a-fA-F]+", text) and len(text) < LEAST_HEX_DIGITS:
        return f"holds {len(text)} hexadecimal digits, fewer than {LEAST_HEX_DIGITS} (32 bytes)"
    if len(set(text)) < LEAST_DIFFERENT_CHARACTERS:
        return f"repeats fewer than {LEAST_DIFFERENT_CHARACTERS} characters"
    return None


def pseudonymiser(key: UserKey) -> Callable[[pa.Array], pa.Array]:
    """A function for Spark's tasks: binary user ids to pseudonyms, null to null.

    Bytes, not text: ids that are no UTF-8 get a pseudonym too, and nothing that could fail would name them. The key travels in
    the function; as a literal in SQL it would show in plans, as a variable of the executors in Spark's configuration.
    """

    def pseudonym(user_ids: pa.Array) -> pa.Array:
        return pa.array([None if v is None else key.pseudonym(v) for v in user_ids.to_pylist()], pa.string())

    return pseudonym


def erased_digest(salt: str, stored_user: str) -> str:
    """How an erased user is remembered: sha256 of the warehouse's salt and the id as tables hold it, hexadecimal.

    Where tables hold pseudonyms, the digest depends on the key through them.
    """
    return hashlib.sha256((salt + stored_user).encode()).hexdigest()
