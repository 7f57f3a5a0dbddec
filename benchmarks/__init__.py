"""Measures what a remote step costs, side by side with what it is compared with.

`python -m benchmarks` (or `make bench`). Every number of one run comes from the same minutes: the
contenders take turns, round after round, so that a busy machine is busy for all of them. It runs on
Linux, for the processor time and the memory of the processes are read from /proc.

    workloads, environments   what is stepped
    contenders/               the ways to have it stepped, each with its other process
    driver, peer, turns       the two processes of a contender, and one turn of it
    processes, measuring, crowd   starts them and lets them take turns
    results, bars             what came out, and whether it is enough
    report, plot, publishing  tables, plot, and where they go
"""
