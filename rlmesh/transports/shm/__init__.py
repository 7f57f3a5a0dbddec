"""transports/shm."""
