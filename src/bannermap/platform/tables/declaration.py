"""What a declared table is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bannermap.platform.tables.migrations import Migration

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType, StructType


@dataclass(frozen=True)
class Table:
    """One table of the warehouse.

    Attributes:
        name: folder below the warehouse, and what messages call it.
        about: one line for the table reference.
        columns: column name -> ``"spark type: meaning"``, in stored order.
        key: columns that identify a row.
        partition_by: columns of the folder layout; a job overwrites whole partitions only.
        format: ``delta`` for tables; ``parquet`` where readers without Delta must be able to read.
        version: of columns and their meaning, stored with the table; goes up by one with every change of either.
        migrations: version -> the step that makes it from the version before; one for each from 2 on.
        private: columns that can identify a person: Delta keeps no statistics of them, since its log outlives deleted rows.
        definition: what its values mean beyond names and types, as JSON; rows of another definition are never mixed in.
        properties: further properties that a Delta table is made with.
    """

    name: str
    about: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    format: str = "delta"
    version: int = 1
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    private: tuple[str, ...] = ()
    definition: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def semantic_hash(self) -> str | None:
        """Sha256 of the definition's canonical JSON, hexadecimal; None where there is no definition."""
        if not self.definition:
            return None
        return hashlib.sha256(json.dumps(self.definition, sort_keys=True).encode()).hexdigest()

    def type_of(self, column: str) -> str:
        """Spark type of a column, as in DDL."""
        return self.columns[column].split(": ", 1)[0]

    @property
    def history_properties(self) -> dict[str, str]:
        """Delta properties that keep private columns out of the table's log."""
        open_columns = [c for c in self.columns if c not in (*self.private, *self.partition_by)]
        return {"delta.dataSkippingStatsColumns": ",".join(open_columns)} if self.private else {}

    @property
    def ddl(self) -> str:
        """Columns as a Spark DDL string."""
        return ", ".join(f"`{c}` {self.type_of(c)}" for c in self.columns)

    @property
    def schema(self) -> StructType:
        """Columns as a Spark schema, all nullable (imports pyspark, needs no session)."""
        from pyspark.sql.types import StructField, StructType

        return StructType([StructField(c, _spark_type(self.type_of(c))) for c in self.columns])

    @property
    def column_types(self) -> dict[str, str]:
        """Column name -> type as Spark writes it, to compare with what is stored."""
        return {f.name: f.dataType.simpleString() for f in self.schema.fields}

    def steps_from(self, version: int) -> list[tuple[int, Migration]]:
        """The steps from a stored version to the declared one, each with the version that it makes."""
        return [(v, self.migrations[v]) for v in range(version + 1, self.version + 1)]

    def on_files(self, job: str, folder: str) -> Table:
        """The same rows as Parquet in one folder, as a job leaves them on plain files."""
        about = f"{job} on plain files: the folder is `{folder}`."
        return Table(name=f"file_{self.name}", about=about, columns=self.columns, key=self.key, format="parquet")

    def select(self, frame: DataFrame) -> DataFrame:
        """Exactly the declared columns, cast to the declared types, in the declared order."""
        # As SQL: one call into the JVM where columns would take four each.
        return frame.selectExpr(*[f"CAST(`{c}` AS {self.type_of(c)}) AS `{c}`" for c in self.columns])


def _spark_type(ddl: str) -> DataType:
    from pyspark.sql import types as T

    element = re.fullmatch(r"array<(.*)>", ddl)
    if element:
        return T.ArrayType(_spark_type(element[1]))
    struct = re.fullmatch(r"struct<(.*)>", ddl)
    if struct:
        return T.StructType([T.StructField(n, _spark_type(t)) for n, t in (f.split(":") for f in struct[1].split(","))])
    mapping = re.fullmatch(r"map<(\w+), (\w+)>", ddl)
    if mapping:
        return T.MapType(_spark_type(mapping[1]), _spark_type(mapping[2]))
    simple = {
        t.simpleString(): t
        for t in (
            T.StringType(),
            T.DateType(),
            T.TimestampType(),
            T.LongType(),
            T.IntegerType(),
            T.FloatType(),
            T.DoubleType(),
            T.BooleanType(),
            T.BinaryType(),
        )
    }
    return simple[ddl]
