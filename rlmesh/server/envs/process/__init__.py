"""Environments in worker processes: one that crashes or hangs takes nothing else with it.

In the server:
    factory: Makes backends, and with them workers, of a callable.
    backend: Lends a client's pipe to a worker or relays its calls; replaces a worker that died.
    env_worker: A worker, with what loans need; lending: those things.
    loan: One pipe, lent to one worker, until it is back.
    lent_timings: How long the calls took, here and in the worker.
    lent_episodes: The episodes that the workers of a session have counted.
    handshake: Waits until a worker has made its environment.

In the worker:
    worker_main: What a worker runs: makes the environment and answers calls.
    borrower: Answers a client through a lent pipe.

In both:
    spec: What a worker is to make.
    loans: What crosses to lend a pipe: messages and descriptors.
    call_page: Where a worker notes which call it is in.

`rlmesh.processes` starts the processes, watches them and ends them.
"""
