-- Every clustering, with the model that made it: null for cluster_banners, else the model_id of apply_strategy.
SELECT clustering_id, CAST(NULL AS STRING) AS model_id, dt, sequence, state, encoder_id, nodes, banners, clusters, outliers
FROM clusterings
UNION ALL
SELECT clustering_id, model_id, dt, sequence, state, encoder_id, nodes, banners, clusters, outliers
FROM model_clusterings
