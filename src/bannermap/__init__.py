"""bannermap: an ad network's banner images to visual clusters and per-user features, on Spark."""

__version__ = "0.1.0"
