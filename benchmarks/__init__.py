"""Measures what a remote step costs, side by side with what it is compared with.

`python -m benchmarks` (or `make bench`). Every number of one run comes from the same minutes: the
contenders take turns, round after round, so that a busy machine is busy for all of them.
"""
