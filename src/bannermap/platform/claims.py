"""One run at a time: of a job and day, and of all that write where Delta cannot keep two drivers apart.

A claim is a small file, `_claims/NAME/NUMBER.json`, that is created where there is none, which one of several runs achieves. Its
holder writes it anew while it works. Whoever finds one that its holder gave back, or whose holder is dead, creates the next
number; the highest number holds. Dead is a process that is no more on the same machine, and elsewhere a file that did not change
while it was watched: clocks of several machines are never compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import BusyError
from bannermap.platform.files import create_new, modified_ms, read_text, remove, write_text
from bannermap.platform.settings import ClaimSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FOLDER = "_claims"
WRITER = "writer"
LOOK_S = 0.5
SINGLE_DRIVER = "io.delta.storage.S3SingleDriverLogStore"
LOG_STORES = ("spark.delta.logStore.s3a.impl", "spark.delta.logStore.class")


@dataclass
class Claim:
    """A claim that this process holds.

    Attributes:
        spark: the session.
        folder: of the claim.
        number: of its file.
        note: what the file says, as JSON.
        lost: whether another run has taken it over, because this one gave no sign of life for too long.
    """

    spark: SparkSession
    folder: str
    number: int
    note: dict[str, Any]
    lost: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Go on only while the claim is held.

        Raises:
            BusyError: another run took it over.
        """
        if self.lost:
            raise BusyError(
                f"This run gave no sign of life for so long that another took over ({self.folder}). It stops here; "
                "run it again when the other is done. If this machine was only busy, raise claims.expire_s."
            )

    def beat(self) -> None:
        """Give a sign of life, or see that the claim is lost."""
        if max(_numbers(self.spark, self.folder), default=0) > self.number:
            self.lost = True
        else:
            self.note = {**self.note, "beat": self.note["beat"] + 1}
            write_text(self.spark, _file(self.folder, self.number), json.dumps(self.note))

    def keep_beating(self, every_s: float) -> None:
        """`beat` until the claim is given back or lost; a store that is away for a moment is borne. Once it is lost, all work is
        cancelled until the run has ended: what is computed now, or about to be, would be committed beside another run."""
        while not self._ended.wait(every_s) and not self.lost:
            with contextlib.suppress(Exception):
                self.beat()
        while not self._ended.wait(LOOK_S):
            with contextlib.suppress(Exception):
                self.spark.sparkContext.cancelAllJobs()

    def give_back(self) -> None:
        """Let others have it. The file stays, so that its number is never used again."""
        self._ended.set()
        if not self.lost:
            write_text(self.spark, _file(self.folder, self.number), json.dumps({**self.note, "released": True}))


def needs_one_writer(spark: SparkSession, root: str) -> bool:
    """Whether commits of two drivers to one table could overwrite each other: on S3, unless another log store is configured."""
    given = [spark.conf.get(name, None) for name in LOG_STORES]
    return root.startswith("s3a://") and all(store in (None, SINGLE_DRIVER) for store in given)


@contextlib.contextmanager
def claimed(
    spark: SparkSession,
    root: str,
    name: str,
    title: str,
    settings: ClaimSettings,
    wait_s: float = 0.0,
    tell: Callable[[str], object] = print,
) -> Iterator[Claim]:
    """Hold a claim for as long as the block takes.

    Args:
        spark: the session.
        root: of the warehouse.
        name: of the claim.
        title: what the holder does, for the message that others get.
        settings: how often signs of life are given, and how long their absence is borne.
        wait_s: seconds to wait for a living holder.
        tell: gets a line when waiting begins.

    Raises:
        BusyError: somebody else holds it.
    """
    claim = _taken(spark, f"{root.rstrip('/')}/{FOLDER}/{name}", title, settings, wait_s, tell)
    beating = threading.Thread(target=claim.keep_beating, args=(settings.heartbeat_s,), daemon=True)
    beating.start()
    try:
        yield claim
    finally:
        claim._ended.set()
        beating.join()
        with contextlib.suppress(Exception):  # it then expires; an error of the run itself is the one to see
            claim.give_back()


def _taken(
    spark: SparkSession, folder: str, title: str, settings: ClaimSettings, wait_s: float, tell: Callable[[str], object]
) -> Claim:
    note = {"title": title, "machine": machine(), "process": process_of(os.getpid()), "beat": 0, "nonce": os.urandom(8).hex()}
    began, seen_at, seen, told = time.monotonic(), time.monotonic(), "", False
    while True:
        number = max(_numbers(spark, folder), default=0)
        held = read_text(spark, _file(folder, number)) or "" if number else ""
        if held != seen:
            alive, seen, seen_at = bool(seen), held, time.monotonic()
        else:
            alive = False
        silent = time.monotonic() - seen_at >= settings.expire_s and not known_alive(held)
        if not number or free(held) or silent:
            if (claim := _next(spark, folder, number + 1, note)) is not None:
                return claim
        elif (alive or known_alive(held)) and time.monotonic() - began >= wait_s:
            raise BusyError(_busy(held, folder, wait_s))
        else:
            if not told:
                tell(f"waiting for {_who(held)}, or for proof that it is no more")
            told = True
            time.sleep(LOOK_S)


def _next(spark: SparkSession, folder: str, number: int, note: dict[str, Any]) -> Claim | None:
    if not create_new(spark, _file(folder, number), json.dumps(note)):
        return None
    others = [n for n in _numbers(spark, folder) if n != number]
    if max(others, default=0) > number:  # what was looked at was older than it seemed
        remove(spark, _file(folder, number))
        return None
    for older in others:
        remove(spark, _file(folder, older))
    return Claim(spark, folder, number, note)


def free(text: str) -> bool:
    """Whether the holder gave the claim back, or is a process of this machine that is no more."""
    note = _parsed(text)
    if note.get("released"):
        return True
    return note.get("machine") == machine() and process_of(_pid(note)) != note.get("process")


def known_alive(text: str) -> bool:
    """Whether the holder is a living process of this machine."""
    note = _parsed(text)
    return note.get("machine") == machine() and process_of(_pid(note)) == note.get("process")


def process_of(pid: int) -> str:
    """A process by number and start, since numbers are used again; ends with ``:`` where it is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return f"{pid}:{'' if Path('/proc/self').exists() or not _answers(pid) else 'unknown'}"
    state, *rest = text.rpartition(")")[2].split()
    return f"{pid}:{'' if state == 'Z' else rest[18]}"


def _answers(pid: int) -> bool:
    """Whether there is such a process, where no file system tells more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_conflict(error: BaseException) -> bool:
    """Whether Delta refused a commit since another one came before."""
    text = f"{type(error).__name__} {error}"
    return "io.delta.exceptions.Concurrent" in text or "DELTA_CONCURRENT" in text or type(error).__name__.startswith("Concurrent")


def _busy(held: str, folder: str, wait_s: float) -> str:
    waited = f" It was waited for {wait_s:g} s (claims.writer_wait_s)." if wait_s else ""
    return (
        f"Another run is at work: {_who(held)} ({folder}).{waited} "
        "Nothing was written for it. Run this again when that one is done, if it is still needed then."
    )


def _who(held: str) -> str:
    note = _parsed(held)
    host = str(note.get("machine", "another machine")).partition(" ")[0]
    return f"{note.get('title', 'a run')} on {host}, process {_pid(note) or 'unknown'}"


def machine() -> str:
    """Host, its start and process namespace: hosts may share a name, and containers a host's name and not its processes."""
    facts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(facts)


def _numbers(spark: SparkSession, folder: str) -> list[int]:
    names = [name.partition(".")[0] for name in modified_ms(spark, folder)]
    return [int(name) for name in names if name.isdigit()]


def _file(folder: str, number: int) -> str:
    return f"{folder}/{number:09d}.json"


def _pid(note: dict[str, Any]) -> int:
    text = str(note.get("process", "")).partition(":")[0]
    return int(text) if text.isdigit() else 0


def _parsed(text: str) -> dict[str, Any]:
    try:
        note = json.loads(text)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}
