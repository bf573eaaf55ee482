-- cluster_days by the newest analysed clustering of each day and model, with the clusters' tags, sizes and ages.
SELECT d.dt, d.clustering_id, a.model_id, d.cluster_id, t.tags, c.size, c.cohesion, c.born_dt, d.banners, d.requests,
       d.impressions, d.clicks, d.ctr, d.ctr_low, d.ctr_high, d.users, d.users_low, d.users_high, d.reach, d.advertisers,
       d.advertiser_entropy_bits, d.top_advertiser_share
FROM cluster_days AS d
JOIN analysed_clusterings AS a ON a.dt = d.dt AND a.clustering_id = d.clustering_id
LEFT JOIN clusters AS c ON c.clustering_id = d.clustering_id AND c.cluster_id = d.cluster_id
LEFT JOIN cluster_tag_lists AS t ON t.clustering_id = d.clustering_id AND t.cluster_id = d.cluster_id
