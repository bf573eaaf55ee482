"""Report: one page that people open to see what the clusters are."""
