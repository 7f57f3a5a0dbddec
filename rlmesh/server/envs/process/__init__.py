"""Environments in worker processes: one that crashes or hangs takes nothing else with it.

In the server:
    factory: Makes backends, and with them workers, of a callable.
    backend: Relays a session's calls to a worker, and replaces one that has died.
    handshake: Waits until a worker has made its environment.

In the worker:
    worker_main: What a worker runs: makes the environment and answers calls.

In both:
    spec: What a worker is to make.

`rlmesh.processes` starts the processes, watches them and ends them.
"""
