"""Environments in worker processes: one that crashes or hangs takes nothing else with it.

In the server:
    factory: Makes backends, and with them workers, of a callable.
    backend: Relays a session's calls to a worker, and replaces one that has died.
    handshake: Waits until a worker has made its environment.
    worker_process: A worker from outside: started, watched, asked, killed.
    supervisor: The one thread that starts and watches the workers of a server.
    spawn: The command line that starts a worker.

In the worker:
    worker_main: What a worker runs: makes the environment and answers calls.
    parent_death: Ends a worker with its server, and nothing else with either.

In both:
    control: The messages that cross beside the calls.
    stack_dump: Has native code report its Python stack before it is killed.
"""
