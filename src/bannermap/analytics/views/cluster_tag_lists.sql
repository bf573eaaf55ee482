-- Each cluster's tags as one text, the most telling first.
SELECT clustering_id, cluster_id,
       array_join(transform(array_sort(collect_list(struct(rank, tag))), entry -> entry.tag), ', ') AS tags
FROM cluster_tags
GROUP BY clustering_id, cluster_id
