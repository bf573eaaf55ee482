"""Addresses to bytes, or to a typed failure."""
