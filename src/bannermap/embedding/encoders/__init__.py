"""Pictures to vectors: one module per encoder, one interface."""
