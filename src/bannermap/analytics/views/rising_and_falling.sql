-- What changed beyond chance, by day, window and measure, with the clusters' tags.
SELECT r.dt, r.window_days, r.measure, r.cluster_id, t.tags, r.trend, r.rate_before, r.rate, r.rate / nullif(r.rate_before, 0) AS ratio,
       r.q_value
FROM cluster_trends AS r
JOIN current_clusterings USING (dt, clustering_id)
LEFT JOIN cluster_tag_lists AS t ON t.clustering_id = r.clustering_id AND t.cluster_id = r.cluster_id
WHERE r.trend IN ('rises', 'falls')
