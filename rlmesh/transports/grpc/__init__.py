"""The transport `grpc`: the stream of a session, which is always there.

- `transport`: the stream as a client's transport.
- `stream_io`: how requests enter the stream and answers leave it.
- `outbox`: where a server writes the answers of a stream.
- `options`: how both sides set up gRPC: sizes, pings, proxies.
"""
