"""The gRPC side of a server: it turns streams and connections into sessions' calls.

    server.py       the gRPC server: services, threads, start, drain and stop
    service.py      contract, status, shutdown, and the session's stream
    stream.py       serves one session's stream
    open_stream.py  sends on a stream and ends it, from any thread
    stream_pipe.py  a stream as a pipe, for the environment's thread
    polling.py      keeps gRPC's thread alive where there is no memory
    listeners.py    the transports that a server offers beside the stream
    auth.py         refuses calls without the token
    health.py       the standard health service
    options.py      what a server is reached by, as one value
    binding.py      binds addresses
    socket_file.py  the file of a Unix socket: made for one user, removed at the end

It knows sessions, and no environments.
"""
