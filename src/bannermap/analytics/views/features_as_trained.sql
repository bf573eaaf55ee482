-- Features as a server had them: join an impression where served_from <= its time < coalesce(served_until, its time + 1 s).
-- Name the model_id (IS NULL: by cluster_banners): of each, at any time at most one publication matches, so a user has one row
-- or none; nothing in it was unknown then.
SELECT f.*, s.model_id, s.served_from, s.served_until
FROM user_features AS f JOIN served_publications AS s USING (dt, clustering_id, revision)
