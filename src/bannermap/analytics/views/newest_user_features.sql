-- One row per as-of day, clustering and user: aligned arrays, newest revision.
SELECT f.* FROM user_features AS f JOIN newest_publications USING (dt, clustering_id, revision)
