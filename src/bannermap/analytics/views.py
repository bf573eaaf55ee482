"""SQL views over a warehouse, for spark.sql: each is a file in views/, which says what it answers."""

from __future__ import annotations

from importlib import resources

from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import WAREHOUSE_TABLES

VIEWS = (
    *("all_clusterings", "current_clusterings", "analysed_clusterings", "cluster_tag_lists", "current_members"),
    *("newest_publications", "newest_user_features", "newest_cluster_counts"),
    *("served_publications", "features_as_trained"),
    *("cluster_days_named", "cluster_weeks", "rising_and_falling"),
)
"""In an order in which each needs only those before it."""
USERS_SKETCH_LG_K = 12
"""As configured unless it was changed."""


def register_views(warehouse: Warehouse, users_sketch_lg_k: int = USERS_SKETCH_LG_K) -> list[str]:
    """Make every table and every view known to ``spark.sql`` under its name, for this session.

    Tables are as of now: what jobs write later is seen after calling this again. A table that was never written is empty.

    Args:
        warehouse: where the tables are.
        users_sketch_lg_k: analytics.users_sketch_lg_k that cluster_days was made with; by fewer hashes users of a week would be
            told more coarsely than the sketches know them.

    Returns:
        Names of the views, without those of the tables.
    """
    for table in WAREHOUSE_TABLES:
        warehouse.read_or_empty(table).createOrReplaceTempView(table.name)
    for name in VIEWS:
        warehouse.spark.sql(view_sql(name, users_sketch_lg_k)).createOrReplaceTempView(name)
    return list(VIEWS)


def view_sql(name: str, users_sketch_lg_k: int = USERS_SKETCH_LG_K) -> str:
    """The definition of a view, with the words that say what it answers."""
    text = (resources.files("bannermap.analytics") / "views" / f"{name}.sql").read_text()
    return text.replace("{users_sketch_lg_k}", str(users_sketch_lg_k))
