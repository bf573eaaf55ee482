-- When each publication was what a server would have used: from its available_at until one that ranks before it was there.
-- Features by each saved model are a line of their own, model_id; null is cluster_banners: a server uses one of them.
-- Of what is available, the latest as-of day ranks first; of one day the clustering that came last, then the latest revision.
-- A correction of an older day, or one that came after its successor, was never used: it has no row.
WITH named AS (
    SELECT p.*, c.model_id, c.sequence, min(p.available_at) OVER (PARTITION BY p.dt, p.clustering_id) AS first_available_at
    FROM feature_publications AS p LEFT JOIN all_clusterings AS c USING (clustering_id)
), ranked AS (
    SELECT dt, clustering_id, revision, model_id, available_at,
           row_number() OVER (PARTITION BY model_id ORDER BY dt, first_available_at, sequence, clustering_id, revision) AS place
    FROM named
)
SELECT p.dt, p.clustering_id, p.revision, p.model_id, p.available_at AS served_from, min(n.available_at) AS served_until
FROM ranked AS p LEFT JOIN ranked AS n ON n.place > p.place AND n.model_id IS NOT DISTINCT FROM p.model_id
GROUP BY p.dt, p.clustering_id, p.revision, p.model_id, p.available_at
HAVING served_until IS NULL OR served_until > served_from
