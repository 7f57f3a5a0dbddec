"""How many servers, cores and how much network a number of environments needs.

    python -m benchmarks.capacity --publish

- `measuring`: what a fleet costs each side, on this machine.
- `model`: what more environments need, and a simulation of one trainer that steps them.
- `page`: the tables, the plot and the raw results of `docs/capacity.md`.
"""
