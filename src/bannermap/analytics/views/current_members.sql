-- Each banner of the newest clustering with its cluster, or none; size, cohesion and tags are the cluster's. Once per model.
SELECT m.clustering_id, newest.model_id, m.banner_id, m.pixel_hash, m.cluster_id, m.is_outlier, m.similarity_to_medoid, m.themes,
       c.size, c.cohesion, c.born_dt, t.tags
FROM cluster_members AS m
JOIN (SELECT model_id, max_by(clustering_id, dt) AS clustering_id FROM current_clusterings GROUP BY model_id) AS newest
  ON newest.clustering_id = m.clustering_id
LEFT JOIN clusters AS c ON c.clustering_id = m.clustering_id AND c.cluster_id = m.cluster_id
LEFT JOIN cluster_tag_lists AS t ON t.clustering_id = m.clustering_id AND t.cluster_id = m.cluster_id
