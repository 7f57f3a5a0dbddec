"""Messages that cross a network in compressed form, where the client asks for that.

- `algorithms`: LZ4 and Zstandard, as far as they are installed: the extra `rlmesh[compression]`.
- `messages`: a compressed message, written and read.
- `choice`: which compression a client asks for in an exchange.
- `transport`: the client's side; `pipe`: the server's.
"""
