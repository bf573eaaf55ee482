-- One clustering per day: the day's newest. Its state is current, or stale where an earlier day was clustered anew since.
SELECT clustering_id, dt, state, encoder_id, nodes, banners, clusters, outliers
FROM clusterings
WHERE sequence = (SELECT max(same.sequence) FROM clusterings AS same WHERE same.dt = clusterings.dt)
