"""The transport `direct`: a TCP connection, and a worker's socket where there is no shared memory.

- `pipe`: sends and receives messages through a connection.
- `lending`: a connection that another process uses for a while.
- `tls_socket`: the same connection, encrypted.
"""
