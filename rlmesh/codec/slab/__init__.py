"""codec/slab."""
