"""A drawn world: ads, logs, and a truth to hold results against, which the pipeline never reads. Nothing is downloaded."""
