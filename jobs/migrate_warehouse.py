"""Bring stored tables to the versions that this bannermap declares.

Lists every table with its stored and its declared version, and applies the stated steps. Killed anywhere and run again, it
completes; run when all is current, it changes nothing. Exit codes: 0 all current, 3 a table was refused (the others are done).
"""

import argparse
import sys

from bannermap.platform.cli import FEATURES, alone, command_main
from bannermap.platform.errors import InputError
from bannermap.platform.migration import migrate_tables
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import NO_DAY, WAREHOUSE_TABLES, user_banner_days, user_feature_lists, user_features_wide


def run(settings: Settings, arguments: argparse.Namespace) -> None:
    """Migrate the tables, with the exports that are configured; fail at the end where one was refused."""
    wide, spark = settings.features, build_session(settings.spark, settings.paths)
    exports = user_features_wide(wide.wide_themes, wide.wide_events), user_feature_lists(wide.wide_themes)
    partials = user_banner_days(wide.user_buckets)
    tables = {t.name: t for t in (*WAREHOUSE_TABLES, *exports, partials)}
    try:
        warehouse = Warehouse(spark, settings.paths.warehouse, read_only=arguments.dry_run)
        with alone("migrate_warehouse", warehouse, settings, NO_DAY, FEATURES):
            problems = migrate_tables(warehouse, tables.values())
    finally:
        spark.stop()
    if problems:
        raise InputError(f"{problems} of the tables above cannot be migrated and were left as they are; each line says why.")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--dry-run", action="store_true", help="list what would be done, change nothing")


if __name__ == "__main__":
    sys.exit(command_main("migrate_warehouse", __doc__, run, add_options))
