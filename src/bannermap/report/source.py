"""One clustering and the tables that a report reads of it."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from bannermap.platform.clusterings import known_clusterings
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import BANNER_DAYS, CLUSTER_MEMBERS, CLUSTERS, Table
from bannermap.platform.threads import at_once
from bannermap.report import transforms as t
from bannermap.report.budget import Plan, plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row


@dataclass(frozen=True)
class Source:
    """One clustering and what is read of it.

    Attributes:
        context: of the job.
        clustering: its row in `clusterings`.
        axis: days that are charted, ascending.
    """

    context: JobContext
    clustering: Row
    axis: Sequence[datetime.date]
    _opened: dict[str, DataFrame] = field(default_factory=dict)

    @cached_property
    def clusterings(self) -> DataFrame:
        """Those that figures may be made by."""
        return known_clusterings(self.context)

    @cached_property
    def members(self) -> DataFrame:
        """Its rows of `cluster_members`."""
        return self.of(CLUSTER_MEMBERS).persist()

    @cached_property
    def facts(self) -> DataFrame:
        """See `transforms.banner_facts`."""
        return t.banner_facts(self.table(BANNER_DAYS), self.context.dt).persist()

    @cached_property
    def shown(self) -> DataFrame:
        """The clusters that are shown."""
        return t.largest_clusters(self.of(CLUSTERS), self.context.settings.report.max_clusters).persist()

    @cached_property
    def plan(self) -> Plan:
        """How pictures are drawn."""
        settings = self.context.settings.report
        count = min(self.clustering["clusters"], settings.max_clusters)
        return plan(count, settings.thumbnail_px, settings.pictures_per_cluster, settings.max_total_bytes)

    @cached_property
    def dated(self) -> DataFrame:
        """clustering_id and dt of the newest clustering of each charted day, and of this one."""
        rows = self.clusterings.where(F.col("dt").between(F.lit(self.axis[0]), F.lit(self.axis[-1])))
        newest = rows.groupBy("dt").agg(F.max_by("clustering_id", "sequence").alias("clustering_id"))
        return newest.select("clustering_id", "dt").persist()

    def at_once(self, *parts: Callable[[Source], Any]) -> list[Any]:
        """What each part says of this source."""
        return at_once(self.context.warehouse.spark, [functools.partial(part, self) for part in parts])

    def table(self, table: Table) -> DataFrame:
        """A table, opened once; empty where it was never written."""
        if table.name not in self._opened:
            self._opened[table.name] = self.context.warehouse.read_or_empty(table)
        return self._opened[table.name]

    def of(self, table: Table) -> DataFrame:
        """This clustering's rows of a table."""
        return self.table(table).where(F.col("clustering_id") == self.clustering["clustering_id"])
