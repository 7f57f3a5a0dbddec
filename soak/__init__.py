"""A million steps with resets, new sessions and broken connections: nothing may grow.

`python -m soak` (or `make soak`) takes some minutes and needs Linux, for what a process holds is
read from /proc. Every round opens a session on each transport, for a single environment and for a
vector of them, steps it beside a local twin, cuts its connection on the way and closes it. Then it
notes the memory, the threads and the descriptors of both processes.

    legs         what a round does on one transport
    serving      the other process
    proxy        what cuts connections
    sampling     what a process holds
    results      what came out, and whether it is flat
    report, plot, publishing   a run in words, as a plot, and in the documentation
    watching     another run: a page that a browser shows for an hour, with `watched`, what came out
"""
