"""codec/step."""
