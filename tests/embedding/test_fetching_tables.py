"""What fetching keeps: rows of an older version, and bytes in a cache in place of the table."""

from __future__ import annotations

import datetime

from bannermap.platform.tables import IMAGE_FETCHES

DAY = datetime.date(2026, 1, 5)


def test_failures_of_an_older_table_count_from_their_last_try(spark):
    """The step's values; that steps are applied, repeated and cut off safely is shown for all tables together."""
    step, empty = IMAGE_FETCHES.migrations[2], dict.fromkeys(IMAGE_FETCHES.columns)
    given = [("a", "u", "ok"), ("b", None, "no_address"), ("c", "v", "timeout")]
    rows = [empty | {"banner_id": b, "image_url": u, "status": s, "fetched_dt": DAY} for b, u, s in given]
    older = spark.createDataFrame([tuple(r.values()) for r in rows], IMAGE_FETCHES.schema).drop(*step.names)
    values = spark.sql(step.values, image_fetches=older)
    assert values.columns == [*IMAGE_FETCHES.key, *step.names] and step.reads == ("image_fetches",)
    assert sorted(map(tuple, values.collect())) == [("b", None, DAY), ("c", "v", DAY)]
