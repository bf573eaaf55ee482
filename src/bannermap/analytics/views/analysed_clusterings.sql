-- One clustering per day and model: the newest that analyse_clusters has counted.
-- A newer one that no run has analysed yet hides nothing.
SELECT clustering_id, model_id, dt
FROM (
    SELECT *, max(sequence) OVER (PARTITION BY dt, model_id) AS newest
    FROM all_clusterings JOIN (SELECT DISTINCT dt, clustering_id FROM cluster_days) USING (dt, clustering_id)
)
WHERE sequence = newest
