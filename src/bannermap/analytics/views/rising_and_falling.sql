-- What changed beyond chance, by day, model, window and measure, with the clusters' tags.
SELECT r.dt, a.model_id, r.window_days, r.measure, r.cluster_id, t.tags, r.trend, r.rate_before, r.rate,
       r.rate / nullif(r.rate_before, 0) AS ratio, r.q_value
FROM cluster_trends AS r
JOIN analysed_clusterings AS a ON a.dt = r.dt AND a.clustering_id = r.clustering_id
LEFT JOIN cluster_tag_lists AS t ON t.clustering_id = r.clustering_id AND t.cluster_id = r.cluster_id
WHERE r.trend IN ('rises', 'falls')
