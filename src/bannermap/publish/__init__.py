"""Publishing: clusterings as documents of MongoDB, each visible as a whole or not at all."""
