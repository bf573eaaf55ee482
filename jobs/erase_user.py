"""Remove users from every table and export, with proof, and keep them out of days taken in again."""

import argparse
import sys
from pathlib import Path

from bannermap.features.erasure import Erasure, erasure_stage
from bannermap.platform.cli import Job, Request, Stage, main
from bannermap.platform.errors import ConfigError


def add_options(options: argparse.ArgumentParser) -> None:
    """Who is to be erased, and whether old versions go too."""
    options.add_argument("--user", action="append", default=[], help="user id as the event log has it; may be repeated")
    options.add_argument(
        "--users-file", type=Path, help="text file with one user id a line; a command line can be seen by others"
    )
    options.add_argument(
        "--purge", action="store_true", help="also remove older table versions from disk; alone, of users erased before"
    )


def stage(arguments: argparse.Namespace) -> Stage:
    """The stage that the options ask for."""
    users = [*arguments.user, *(_lines(arguments.users_file) if arguments.users_file else [])]
    if any(not user.strip() for user in users):
        raise ConfigError("--user '' names nobody: an event without a user is refused at intake, and no table holds one.")
    if not users and not arguments.purge:
        raise ConfigError("erase_user needs --user ID or --users-file FILE: whom to erase; or --purge alone, for old versions.")
    return erasure_stage(Erasure(tuple(users), arguments.purge))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # a byte-order mark would belong to the first user
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--users-file {path} cannot be read ({type(error).__name__}). It is UTF-8, one user id a line."
        ) from None
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


JOB = Job("erase_user", "Remove users from every table and export, with proof.", [], request=Request(add_options, stage))

if __name__ == "__main__":
    sys.exit(main(JOB))
