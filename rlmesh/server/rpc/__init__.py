"""server/rpc."""
