-- When each publication was what a server would have used: from its available_at until one that ranks before it was there.
-- Of what is available, the latest as-of day ranks first; of one day the clustering that came last, then the latest revision.
-- A correction of an older day, or one that came after its successor, was never used: it has no row.
WITH ranked AS (
    SELECT dt, clustering_id, revision, available_at,
           row_number() OVER (ORDER BY dt, min(available_at) OVER (PARTITION BY dt, clustering_id), clustering_id, revision) AS place
    FROM feature_publications
)
SELECT p.dt, p.clustering_id, p.revision, p.available_at AS served_from, min(n.available_at) AS served_until
FROM ranked AS p LEFT JOIN ranked AS n ON n.place > p.place
GROUP BY p.dt, p.clustering_id, p.revision, p.available_at
HAVING served_until IS NULL OR served_until > served_from
