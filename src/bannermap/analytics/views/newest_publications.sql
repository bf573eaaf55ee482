-- The newest revision of each as-of day's features: what analysts read. Corrections by late events are in it.
SELECT dt, clustering_id, max(revision) AS revision
FROM feature_publications
GROUP BY dt, clustering_id
