"""Models in worker processes.

A worker holds one version of one model. It is a whole server of that model without a network: the
sessions' contexts, the queue and the batches are there. The server relays each session's calls over
the session's own pipe, one request and one answer at a time.

    spec         what a worker is to make
    model_process   a worker from outside, and the pipes of sessions to it
    factory      starts workers
    version      a version of a model whose calls are in a worker; replaces one that died
    backend      relays the calls of one session
    worker_main  the worker itself
"""
