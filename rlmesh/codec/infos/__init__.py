"""codec/infos."""
