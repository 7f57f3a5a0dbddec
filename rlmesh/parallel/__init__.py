"""Sub-environments in parallel worker processes, which share one segment of memory.

In the process that steps them:
    make_vec: Makes a vector environment without an address.
    vector_env: `ParallelVectorEnv`, the `gymnasium.vector.VectorEnv`.
    pool: The workers of one vector environment: how they start, answer, die and are replaced.
    worker: One worker from outside.
    batch: Reads what the workers wrote into the segment.
    factories: What makes the sub-environments, checked and pickled.
    resets: The arguments of a reset, checked.
    sub_env_numbers: Numbers of sub-environments, checked.
    pending: The errors of calls in the wrong order.

In a worker:
    worker_main: What a worker runs: its loop.
    sub_env: One sub-environment: steps it, resets it, writes its results into the segment.

In both:
    segment: How the segment is divided.
    frames: The messages that cross the socket beside the segment.
    waiting: Waits for the other side: spins, yields or sleeps.
"""
