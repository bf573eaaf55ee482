-- One row per as-of day, clustering, user and cluster: windowed counts, newest revision.
SELECT c.* FROM user_cluster_counts AS c JOIN newest_publications USING (dt, clustering_id, revision)
