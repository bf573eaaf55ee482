"""The connection: an address that only the environment knows, and operations that are tried again while the database is away."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bannermap.platform.errors import BannermapError, ConfigError, ServiceError
from bannermap.platform.settings import PublishSettings

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

SCHEMES = ("mongodb", "mongodb+srv")
LONGEST_PAUSE_S = 30.0
REFUSED = {13: "not authorised", 18: "the login was refused", 8000: "the login was refused"}
"""Codes that no further try can mend."""
PASSING = frozenset({6, 7, 50, 64, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Codes of a server that is about to be replaced, cut off or too slow; those of MongoDB's retryable operations, and 50 and 64:
time limits."""
Result = TypeVar("Result")


@dataclass
class Connection:
    """A database that answers, or raises `ServiceError` when it has been away for too long; it travels to tasks unconnected.

    Attributes:
        uri: address with login; in no text form of this.
        settings: how long to wait.
        repeated: how many operations were tried again.
    """

    uri: str = field(repr=False)
    settings: PublishSettings
    repeated: int = 0

    @contextmanager
    def opened(self) -> Iterator[Database[dict[str, Any]]]:
        """The database, until the end of the block; whatever is written is acknowledged by a majority, and reads see such only.

        Raises:
            ConfigError: the address cannot be one.
            ServiceError: DNS, which knows the hosts of mongodb+srv, stayed away.
        """
        from pymongo import ReadPreference
        from pymongo.read_concern import ReadConcern
        from pymongo.write_concern import WriteConcern

        client = self.ask(self._client)
        timeout_ms = int(self.settings.write_timeout_s * 1000)
        try:
            yield client.get_database(
                self.settings.database,
                read_preference=ReadPreference.PRIMARY,
                write_concern=WriteConcern(w="majority", wtimeout=timeout_ms),
                read_concern=ReadConcern("majority"),
            )
        finally:
            client.close()

    def _client(self) -> MongoClient[dict[str, Any]]:
        """Connects to nothing yet, but asks DNS for the hosts of mongodb+srv."""
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

        limits = {"serverSelectionTimeoutMS": self.settings.select_timeout_s, "socketTimeoutMS": self.settings.write_timeout_s}
        milliseconds: dict[str, Any] = {name: int(seconds * 1000) for name, seconds in limits.items()}
        milliseconds["connectTimeoutMS"] = milliseconds["serverSelectionTimeoutMS"]
        try:
            return MongoClient(self.uri, appname="bannermap", **milliseconds)
        except (PyMongoError, ValueError) as error:  # its text may quote the address
            if may_pass(error):
                raise
            raise ConfigError(_unusable(self.settings.uri_variable, _kind(error))) from None

    def ask(self, work: Callable[[], Result]) -> Result:
        """What an operation returns, tried again while the database is away; so it must give the same when it is repeated.

        Raises:
            ConfigError: the login does not do.
            ServiceError: it stayed away, or refused the operation; the text has hosts, never the login.
        """
        from pymongo.errors import PyMongoError

        for attempt in range(1, self.settings.attempts + 1):
            try:
                return work()
            except PyMongoError as error:
                problem = self._problem(error, attempt)
                if problem:
                    raise problem from None
            self.repeated += 1
            time.sleep(pause_s(self.settings.backoff_s, attempt, random.random()))
        raise AssertionError("the last attempt returns or raises")

    def _problem(self, error: Exception, attempt: int) -> BannermapError | None:
        """What to raise, or None where another try may help."""
        code = getattr(error, "code", None)
        if code in REFUSED:
            return ConfigError(
                f"MongoDB at {self.hosts}: {REFUSED[code]} (code {code}). Check user, password and authSource of the address in "
                f"{self.settings.uri_variable}, and that the user may read and write the database {self.settings.database}."
            )
        if not may_pass(error):
            return ServiceError(
                f"MongoDB at {self.hosts} refused an operation: {type(error).__name__}, code {code}, {_said(error)}"
            )
        if attempt < self.settings.attempts:
            return None
        return ServiceError(
            f"MongoDB at {self.hosts} is away: {attempts(attempt)}, the last ended with {_kind(error)}. Readers see what "
            "was published before, the warehouse is as it was; run the same command again when the database is back."
        )

    @property
    def hosts(self) -> str:
        """Hosts of the address, without the login."""
        return _authority(self.uri).rpartition("@")[2]


def _authority(uri: str) -> str:
    """Login and hosts, up to the first slash, or to the options where there is none: as pymongo reads an address. Python's own
    splitting ends it at a #, which a password may have, and would take the rest of the password for a host."""
    rest = uri.partition("://")[2]
    return rest.partition("/")[0] if "/" in rest else rest.partition("?")[0]


def attempts(number: int) -> str:
    """How often it was tried, in words."""
    return f"{number} tries" if number > 1 else "1 try"


def pause_s(first_s: float, attempt: int, chance: float) -> float:
    """Seconds to wait after a try: doubled each time, and longer by up to a half, so that tasks do not come back all at once.

    Args:
        first_s: after the first try.
        attempt: that failed, from 1.
        chance: 0 to 1.
    """
    return min(first_s * 2.0 ** min(attempt - 1, 60), LONGEST_PAUSE_S) * (1.0 + chance / 2.0)


def may_pass(error: Exception) -> bool:
    """Whether an error is of the network or DNS, of a change of the primary, or of a time limit, rather than of the operation."""
    from pymongo.errors import BulkWriteError, ConfigurationError, ConnectionFailure, OperationFailure, WTimeoutError

    if isinstance(error, ConfigurationError):
        return _dns_is_away(error.__cause__)
    if isinstance(error, BulkWriteError):
        errors = error.details.get("writeErrors", [])
        return all(e.get("code") in PASSING for e in errors)  # without any, the acknowledgement alone failed
    if isinstance(error, ConnectionFailure | WTimeoutError):
        return True
    return isinstance(error, OperationFailure) and error.code in PASSING


def _dns_is_away(cause: BaseException | None) -> bool:
    """Nobody answered, or nobody who could; that there is no such name is an answer."""
    from dns.exception import Timeout
    from dns.resolver import NoNameservers

    return isinstance(cause, Timeout | NoNameservers | OSError)


def connection_of(settings: PublishSettings) -> Connection:
    """The connection that the environment names: its variable, or a file that the same name with ``_FILE`` behind it names.

    Raises:
        ConfigError: there is none, or it cannot be an address; the message says nothing of its content.
    """
    name = settings.uri_variable
    uri = os.environ.get(name, "").strip() or _from_file(f"{name}_FILE")
    if not uri:
        raise ConfigError(
            f"publish_clusters needs the address of MongoDB, and neither the environment variable {name} nor {name}_FILE is set. "
            f"Set the first to mongodb://user:password@host:27017/?authSource=admin, or the second to a file that holds that."
        )
    if uri.partition("://")[0] not in SCHEMES:
        raise ConfigError(_unusable(name, "it starts with neither mongodb:// nor mongodb+srv://"))
    if "@" in uri and "@" not in _authority(uri):
        raise ConfigError(_unusable(name, "what stands before its last @ is no login"))
    if uri.startswith("mongodb://"):
        _parse(uri, name)
    return Connection(uri, settings)


def _parse(uri: str, name: str) -> None:
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    try:
        parse_uri(uri)
    except (PyMongoError, ValueError) as error:
        raise ConfigError(_unusable(name, type(error).__name__)) from None


def _from_file(variable: str) -> str:
    place = os.environ.get(variable, "")
    if not place:
        return ""
    try:
        return Path(place).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The file that the environment variable {variable} names cannot be read ({type(error).__name__}). It is UTF-8 text "
            "with the address of MongoDB and nothing else."
        ) from None


def _unusable(name: str, why: str) -> str:
    return (
        f"What the environment variable {name} holds cannot be an address of MongoDB ({why}). It looks like "
        "mongodb://user:password@host:27017/?authSource=admin, with %-escapes for : / ? # [ ] @ in user and password."
    )


def _kind(error: Exception) -> str:
    """The class of an error; of one that only wraps another, that one's. Its text may quote the address."""
    from pymongo.errors import ConfigurationError

    return type(error.__cause__ if isinstance(error, ConfigurationError) and error.__cause__ else error).__name__


def _said(error: Exception) -> str:
    """What the server said, in at most a line; of a bulk write the first of its errors."""
    details = getattr(error, "details", None) or {}
    first = next(iter(details.get("writeErrors", [])), details)
    return str(first.get("errmsg") or "without a reason").partition("\n")[0][:300]
