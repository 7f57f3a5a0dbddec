"""codec/checks."""
