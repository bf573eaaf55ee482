"""What runs before there is an environment: it makes one, finds the jars, becomes spark-submit. Standard library only."""
