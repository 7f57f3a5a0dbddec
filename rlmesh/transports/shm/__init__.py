"""The transport `shm`: shared memory between two processes of one user on one Linux machine.

- `pipe`: sends and receives messages through a segment.
- `doorbell`: how one side wakes the other, and why no wake-up is lost.
- `lending`: a pipe that another process uses for a while.
- `segment`: makes, seals and maps the shared memory.
"""
