"""The metrics of a server, as Prometheus reads them.

Modules:
    collector: Reads the counters of a server when they are asked for.
    port: Answers Prometheus at a port of its own.
"""
