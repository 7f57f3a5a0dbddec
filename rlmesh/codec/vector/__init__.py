"""codec/vector."""
