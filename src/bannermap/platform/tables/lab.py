"""Tables of the strategy lab."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.migrations import AddColumns

LAB_RESULTS = Table(
    name="lab_results",
    about="Every configuration that a comparison of strategies had, with what became of it; definitions: strategies.md.",
    columns={
        "comparison_id": "string: day and a hash of the sections lab and clustering, and of the encoders",
        "dt": "date: as-of day; nothing later was read",
        "sequence": "int: 1 for the day's first comparison, 2 for the next; train_strategy takes the newest",
        "encoder_id": "string: see embeddings",
        "configuration": "string: strategy and parameters, readable",
        "strategy": "string: see docs/strategies.md",
        "parameters": "string: JSON",
        "preparation": "string: JSON of what was done to vectors before the strategy: kept (principal components, or their share "
        "of variance), bucketing, cells",
        "clustering": "string: JSON of the section clustering as it was configured, by which recursive and pic go",
        "status": "string: ranked; gated (a gate refused it); dropped (others were better); failed; untried (no time was left)",
        "reason": "string: in words: why it is not ranked; of the recommended one, how sure that is; else null",
        "place": "int: 1 the best of its encoder; null where it is not ranked",
        "recommended": "boolean: by the comparison, of its encoder",
        "score": "double: by lab.rank_by; null without one",
        "stability": "double: mean adjusted Rand index with fits of bootstrap samples; null where it was not taken",
        "permuted_deviations": "double: standard deviations of permuted labels' silhouettes that its own lies above their mean",
        "rows": "bigint: pictures of its last fit",
        "seconds": "double: of that fit",
        "figures": "map<string, double>: every measure that is defined",
    },
    key=("comparison_id", "encoder_id", "configuration"),
    partition_by=("comparison_id",),
    version=3,
    migrations={
        2: AddColumns(("sequence", "preparation"), "null: they were not noted; a comparison that has them is newer"),
        3: AddColumns(("clustering",), "null: it was not noted; train_strategy takes no recursive or pic from there"),
    },
)
LAB_LABELS = Table(
    name="lab_labels",
    about="Labels that each fitted configuration of a comparison gives the sample: the Parquet beside labels/*.npy.",
    columns={
        "comparison_id": "string: see lab_results",
        "encoder_id": "string: see embeddings",
        "configuration": "string: see lab_results",
        "node_id": "string: pixel_hash of the picture; content_hash of plain files",
        "label": "bigint: 0 and up, by configuration; null for an outlier",
        "held_out": "boolean: no fit has seen it",
    },
    key=("comparison_id", "encoder_id", "configuration", "node_id"),
    partition_by=("comparison_id",),
    format="parquet",
)
LAB_EMBEDDINGS = Table(
    name="lab_embeddings",
    about="Vectors of the lab's sample alone, by embed_sample. They stand apart from embeddings, so that nothing which clusters "
    "or assigns takes some of the pictures for all.",
    columns={
        "encoder_id": "string: see embeddings",
        "content_hash": "string: see image_bytes; one file of each picture of a sample",
        "vector": "array<float>: unit length",
    },
    key=("encoder_id", "content_hash"),
    partition_by=("encoder_id",),
)
MODEL_CLUSTERINGS = Table(
    name="model_clusterings",
    about="One row per day that apply_strategy clustered by a saved model; members, clusters and themes lie where those of "
    "cluster_banners do.",
    columns={
        "clustering_id": "string: day and a hash of the model and of the banners with their pictures",
        "dt": "date: as-of day; nothing later was read",
        "sequence": "int: 1 for the day's first clustering by this model, 2 for the next; features take the newest",
        "previous_clustering_id": "string: null, since a model's ids never change",
        "state": "string: current",
        "model_id": "string: day and a hash of the model, as train_strategy names it",
        "encoder_id": "string: see embeddings",
        "settings": "string: JSON of strategy and parameters",
        "nodes": "bigint: distinct pictures",
        "banners": "bigint: banners with a picture",
        "clusters": "bigint: clusters that have a banner",
        "outliers": "bigint: banners that are in none",
    },
    key=("clustering_id",),
)
FILE_LAB_RESULTS = LAB_RESULTS.on_files("compare_strategies", "results")
FILE_LAB_LABELS = LAB_LABELS.on_files("compare_strategies", "labels_parquet")
