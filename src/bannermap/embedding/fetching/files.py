"""Bytes of local files and of whatever file system fsspec knows; both block, so they run in threads."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from bannermap.embedding.fetching.retrying import Transient
from bannermap.embedding.statuses import Failure


def read_local(address: str, root: Path, max_bytes: int) -> bytes:
    """Bytes of a file below the root, links followed before the check.

    Args:
        address: a path relative to the root, or a file address.
        root: nothing outside it is read.
        max_bytes: cap.

    Raises:
        Failure: ``invalid_address``, ``outside_root``, ``not_found``, ``access_denied`` or ``too_large``.
    """
    folder = root.resolve()
    try:
        path = Path(unquote(urlsplit(address).path)) if "://" in address else Path(address)
        resolved = (folder / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise Failure("invalid_address", str(error)) from None
    if not resolved.is_relative_to(folder):
        raise Failure("outside_root", f"{path} does not lie below paths.images")
    if not resolved.is_file():
        raise Failure("not_found", f"there is no file {path}")
    try:
        with resolved.open("rb") as stream:
            return capped(stream.read(max_bytes + 1), max_bytes)
    except PermissionError as error:
        raise Failure("access_denied", str(error)) from None


def read_by_fsspec(address: str, scheme: str, max_bytes: int) -> bytes:
    """Bytes of an address of a file system that fsspec knows; credentials are those of its driver.

    Args:
        address: ``scheme://path``; a chain of file systems (``a::b``) is refused, since only the first was allowed.
        scheme: as configured.
        max_bytes: cap; no more than one byte beyond it is asked for.

    Raises:
        Failure: typed; `Transient` where another attempt may help.
    """
    import fsspec

    if "::" in address:
        raise Failure("invalid_address", "a chain of file systems; only one is fetched from")
    try:
        system = fsspec.filesystem(scheme)
        return capped(bytes(system.cat_file(address, start=0, end=max_bytes + 1)), max_bytes)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise Failure("not_found", str(error)) from None
    except PermissionError as error:
        raise Failure("access_denied", str(error)) from None
    except OSError as error:
        raise Transient("connection_error", f"{type(error).__name__}: {error}") from None


def capped(data: bytes, max_bytes: int) -> bytes:
    """The data unless it is longer than the cap.

    Raises:
        Failure: ``too_large``.
    """
    if len(data) > max_bytes:
        raise Failure("too_large", f"more than {max_bytes} bytes")
    return data
