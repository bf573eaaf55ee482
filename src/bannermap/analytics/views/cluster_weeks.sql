-- Per cluster and day, the seven days that end with it: a user of several days counts once, by the union of sketches.
-- Each day counts by its own clustering; a cluster is followed by its id, which it keeps as long as most of it stays.
SELECT last.dt, day.cluster_id, count(*) AS days, sum(day.requests) AS requests, sum(day.impressions) AS impressions,
       sum(day.clicks) AS clicks, theta_sketch_estimate(theta_union_agg(day.users_sketch)) AS users
FROM (SELECT DISTINCT dt FROM cluster_days) AS last
JOIN (SELECT d.* FROM cluster_days AS d JOIN current_clusterings USING (dt, clustering_id)) AS day
  ON day.dt BETWEEN date_sub(last.dt, 6) AND last.dt
GROUP BY last.dt, day.cluster_id
