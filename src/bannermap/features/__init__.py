"""User features: partials per day, windowed counts per cluster as of a day, published in revisions."""
