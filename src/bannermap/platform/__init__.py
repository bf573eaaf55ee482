"""What every stage stands on: configuration, tables, the Spark session, the run manifest, errors."""
