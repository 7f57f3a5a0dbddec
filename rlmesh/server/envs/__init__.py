"""server/envs."""
