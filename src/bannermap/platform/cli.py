"""The command line that every job shares: options, configuration, session, manifest, exit code."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bannermap.platform import log_lines
from bannermap.platform.claims import WRITER, claimed, is_conflict, needs_one_writer
from bannermap.platform.config import load_settings
from bannermap.platform.errors import BannermapError, BusyError, ConfigError
from bannermap.platform.runs import JobContext, Run, record, say
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import RUNS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEATURES = "features"
"""The `Stage.writes_alone` of those that write feature partitions, or remove what such rows name: these are Parquet, where no
commit of two would be refused."""
HOME_VARIABLE = "BANNERMAP_HOME"
"""Set by the launcher: the folder that holds conf/. Without it, the current folder."""


@dataclass(frozen=True)
class Stage:
    """One step of the daily chain.

    Attributes:
        name: job name, as in ``spark-submit.sh NAME``.
        run: reads tables, writes tables, fills in the manifest.
        phases: names of its phases in order, so that progress can say which of how many.
        check: raises `ConfigError` for what can be known to be wrong before Spark starts.
        writes_alone: name of what stages of several jobs write and only one at a time may; the others wait.
    """

    name: str
    run: Callable[[JobContext], None]
    phases: tuple[str, ...] = ()
    check: Callable[[Settings], object] | None = None
    writes_alone: str | None = None


@dataclass(frozen=True)
class FileMode:
    """A stage on plain files, without warehouse or logs.

    Attributes:
        options: option name -> help; all are required together, and ``--out`` comes by itself.
        run: gets the session, the settings and the options' values by name (with underscores).
        default_out: where the result goes without ``--out``; null where it has to be given.
        check: as of a `Stage`.
    """

    options: Mapping[str, str]
    run: Callable[[SparkSession, Settings, Mapping[str, str]], None]
    default_out: str | None = None
    check: Callable[[Settings], object] | None = None


@dataclass(frozen=True)
class Request:
    """Options that only one job has, and the stage that they ask for.

    Attributes:
        add_options: declares them.
        stage: makes the stage from them; raises `ConfigError` before Spark starts.
    """

    add_options: Callable[[argparse.ArgumentParser], None]
    stage: Callable[[argparse.Namespace], Stage]


@dataclass(frozen=True)
class Job:
    """An entry point: the stages that it runs for a day, its plain-file mode and options of its own if it has them."""

    name: str
    about: str
    stages: Sequence[Stage]
    files: FileMode | None = None
    request: Request | None = None


def main(job: Job, argv: Sequence[str] | None = None) -> int:
    """Run a job from its command line.

    Returns:
        Exit code: 0 success, 1 failure, 2 bad configuration or options, 3 bad input, 4 a result too poor to publish,
        5 features that the gate refused, 6 a service that is away, 7 another run at work on the same.
    """
    arguments = parser(job).parse_args(argv)
    return _reported(job.name, lambda: _start(job, arguments, resolve(arguments)))


def config_main(name: str, about: str | None, run: Callable[[Settings], None], argv: Sequence[str] | None = None) -> int:
    """Run a command that needs a configuration but no day; exit codes as those of `main`.

    Args:
        name: as in ``spark-submit.sh NAME``.
        about: one line.
        run: the work.
        argv: options; the process's without.
    """
    return command_main(name, about, lambda settings, _: run(settings), argv=argv)


def command_main(
    name: str,
    about: str | None,
    run: Callable[[Settings, argparse.Namespace], int | None],
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Like `config_main`, with options and an exit code of the command's own.

    Args:
        name: as in ``spark-submit.sh NAME``.
        about: help text; its first line says what the command does.
        run: the work; gets all options, and may return an exit code.
        add_options: adds the command's options.
        argv: options; the process's without.
    """
    options = argparse.ArgumentParser(
        prog=f"spark-submit.sh {name}",
        description=about,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_options(options)
    if add_options:
        add_options(options)
    arguments = options.parse_args(argv)
    return _reported(name, lambda: run(resolve(arguments), arguments))


def _reported(name: str, work: Callable[[], int | None]) -> int:
    try:
        return work() or 0
    except BannermapError as error:
        with log_lines.said_of(job=name):
            log_lines.write(f"{name} stopped. {error}", "error")
        return error.exit_code


def parser(job: Job) -> argparse.ArgumentParser:
    """The job's options."""
    result = argparse.ArgumentParser(prog=f"spark-submit.sh {job.name}", description=job.about, allow_abbrev=False)
    add_config_options(result)
    result.add_argument("--date", type=_date, help="day to process, YYYY-MM-DD")
    result.add_argument("--dry-run", action="store_true", help="read and check everything, write nothing")
    if job.request:
        job.request.add_options(result)
    if job.files:
        group = result.add_argument_group("on plain files, without the rest")
        for name, text in {**job.files.options, "out": "folder for the result"}.items():
            group.add_argument(f"--{name}", help=text)
    return result


def add_config_options(target: argparse.ArgumentParser) -> None:
    """``--config`` and ``--set``, the same for every command."""
    target.add_argument("--config", action="append", default=[], help="overlay on conf/base.yaml; may be repeated")
    target.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE", help="one setting")


def resolve(arguments: argparse.Namespace) -> Settings:
    """The settings that the options ask for; the base file is the one beside the launcher.

    Raises:
        ConfigError: the base file is not there, or a setting cannot be right.
    """
    base = Path(os.environ.get(HOME_VARIABLE, ".")) / "conf/base.yaml"
    if not base.is_file():
        raise ConfigError(
            f"There is no {base}, which has every setting. Start jobs with spark-submit.sh, "
            f"or set {HOME_VARIABLE} to the folder that holds conf/ and jobs/."
        )
    settings = load_settings(base, [Path(p) for p in arguments.config], arguments.overrides)
    log_lines.choose(settings.monitoring.log_format)
    return settings


def check_before_start(parts: Iterable[Stage | FileMode], settings: Settings) -> None:
    """Have what is about to run say what is wrong with the settings, while that costs nothing.

    Raises:
        ConfigError: something is.
    """
    for part in parts:
        if part.check:
            part.check(settings)


def run_stage(stage: Stage, warehouse: Warehouse, settings: Settings, day: dt.date) -> Run:
    """Run one stage for one day and leave its manifest row, also when it fails.

    Raises:
        BusyError: another run of the same job and day is at work, or any where only one may write; nothing was written.
    """
    warehouse.versions_read.clear()
    warehouse.check(RUNS)  # a run that could not be recorded must not work for an hour first
    made = Run(stage.name, day)
    with (
        log_lines.said_of(run_id=made.run_id, job=stage.name, dt=str(day)),
        alone(stage.name, warehouse, settings, day, stage.writes_alone),
    ):
        made.begin()
        return _run_stage(stage, JobContext(warehouse, settings, day, made, stage.phases))


@contextlib.contextmanager
def alone(job: str, warehouse: Warehouse, settings: Settings, day: dt.date, what: str | None = None) -> Iterator[None]:
    """Hold what keeps other runs from the same day of the job, from what it writes alone, and from the whole warehouse where only
    one may write. Meanwhile the warehouse is written only as long as all of it is held.

    Raises:
        BusyError: another run holds some of it; nothing was written.
    """
    if warehouse.read_only:
        yield
        return
    spark, root, title, claims = warehouse.spark, warehouse.root, f"{job} of {day}", settings.claims
    waited_for = [*([what] if what else []), *([WRITER] if needs_one_writer(spark, root) else [])]
    names = [(f"{day}_{job}", 0.0), *((name, claims.writer_wait_s) for name in waited_for)]
    with contextlib.ExitStack() as held:
        own = tuple([held.enter_context(claimed(spark, root, name, title, claims, wait_s, say)) for name, wait_s in names])
        warehouse.claims += own
        held.callback(lambda: setattr(warehouse, "claims", tuple(c for c in warehouse.claims if c not in own)))
        yield


def _run_stage(stage: Stage, context: JobContext) -> Run:
    context.note_phase(None)
    try:
        stage.run(context)
    except BaseException as error:
        context.warehouse.check_claims()  # or another run is at work: its tables, its notes and the manifest are left alone
        try:
            record(context, error)
        except Exception as second:  # the first error is the one to see; a full disk, say, fails both
            say(f"the failed run of {stage.name} could not be recorded: {second}")
        if is_conflict(error):
            raise BusyError(
                f"Another run changed a table that {stage.name} was writing, so Delta refused this one's commit. "
                f"Run it again when the other is done. Delta says: {str(error).partition(chr(10))[0]}"
            ) from error
        raise
    record(context, None)
    say(f"{context.title}: {context.run.rows_in} rows in, {context.run.rows_out} out, {context.run.seconds():.1f} s")
    return context.run


def _start(job: Job, arguments: argparse.Namespace, settings: Settings) -> None:
    values = _file_mode_values(job, arguments)
    if not values and arguments.date is None:
        raise ConfigError(f"{job.name} needs --date YYYY-MM-DD: the day to process is never taken from the clock.")
    if values and arguments.dry_run:
        raise ConfigError("--dry-run goes with --date; on plain files nothing but --out is ever written.")
    stages = [*job.stages, *([job.request.stage(arguments)] if job.request else [])]
    check_before_start([job.files] if values and job.files else stages, settings)
    spark = build_session(settings.spark, settings.paths)
    try:
        if values and job.files:
            job.files.run(spark, settings, values)
        else:
            warehouse = Warehouse(spark, settings.paths.warehouse, read_only=arguments.dry_run)
            for stage in stages:
                run_stage(stage, warehouse, settings, arguments.date)
    finally:
        spark.stop()


def _file_mode_values(job: Job, arguments: argparse.Namespace) -> dict[str, str]:
    if not job.files:
        return {}
    names = [n.replace("-", "_") for n in (*job.files.options, "out")]
    given = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
    if given and job.files.default_out:
        given.setdefault("out", job.files.default_out)
    missing = [n.replace("_", "-") for n in names if n not in given]
    if given and missing:
        raise ConfigError(f"{job.name} on plain files also needs --{', --'.join(missing)}.")
    return given


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a day; write it as YYYY-MM-DD") from None
