"""How a request and its answer cross. Lanes know messages and no environments."""
