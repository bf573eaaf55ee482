-- Per cluster and day, the seven days that end with it: a user of several days counts once, by the union of sketches.
-- Each day counts by its own clustering; a cluster is followed by its id, which it keeps as long as most of it stays.
-- The union keeps as many hashes as a sketch does, see analytics.users_sketch_lg_k.
SELECT last.dt, last.model_id, day.cluster_id, count(*) AS days, sum(day.requests) AS requests,
       sum(day.impressions) AS impressions, sum(day.clicks) AS clicks,
       theta_sketch_estimate(theta_union_agg(day.users_sketch, {users_sketch_lg_k})) AS users
FROM (SELECT DISTINCT dt, model_id FROM analysed_clusterings) AS last
JOIN (SELECT d.*, model_id FROM cluster_days AS d JOIN analysed_clusterings USING (dt, clustering_id)) AS day
  ON day.model_id <=> last.model_id AND day.dt BETWEEN date_sub(last.dt, 6) AND last.dt
GROUP BY last.dt, last.model_id, day.cluster_id
