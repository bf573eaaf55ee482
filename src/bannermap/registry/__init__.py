"""Registry: every banner once, over all days, whatever the order in which the days arrive."""
