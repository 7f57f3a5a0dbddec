"""Environments as they are, whatever calls them: a server, or a worker of a vector environment.

gym_compat: Calls an environment's methods as it understands them.
results: Reads what `reset` and `step` return beside the observation.
single: A single environment as a `gymnasium.Env`, with its contract.
duck_env: An object of an environment's shape as a `gymnasium.Env`.
frames: Where another thread of this process is.
raised: Exceptions of environments as failures.
forks: Ends a process that an environment forks.
"""
