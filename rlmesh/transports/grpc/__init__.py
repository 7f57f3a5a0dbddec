"""transports/grpc."""
