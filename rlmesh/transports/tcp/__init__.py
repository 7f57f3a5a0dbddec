"""transports/tcp."""
