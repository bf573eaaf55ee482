-- One clustering per day and model (null: cluster_banners): the day's newest.
-- Its state is current, or stale where an earlier day was clustered anew since.
SELECT clustering_id, model_id, dt, state, encoder_id, nodes, banners, clusters, outliers
FROM (SELECT *, max(sequence) OVER (PARTITION BY dt, model_id) AS newest FROM all_clusterings)
WHERE sequence = newest
