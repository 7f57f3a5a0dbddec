"""The gRPC side of a server; it knows no environments.

server        binds, starts and stops the gRPC server, with one thread for each call
binding       binds to a TCP or Unix address; socket_file: the file of a Unix socket
auth          refuses calls without the token
health        the standard health service
service       the methods of `EnvService`
stream        a session's stream: `open_stream` ends it, `stream_pipe` carries calls
listeners     the transports on offer beside the stream
"""
