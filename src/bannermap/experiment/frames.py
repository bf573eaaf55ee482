"""Schemas of small frames that no table holds."""

from __future__ import annotations

SPAN_SCHEMA = "from_us bigint, to_us bigint, present int"
DAY_SCHEMA = "event_day date, future int"
PUBLICATION_SCHEMA = "publication int, as_of date"
NAMED_SCHEMA = "clustering_id string, publication int"
