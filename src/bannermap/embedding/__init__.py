"""Embedding: fetch, decode, encode and keep; only what is new."""
