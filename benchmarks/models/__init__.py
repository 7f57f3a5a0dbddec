"""Measures what asking a served model costs, side by side with other ways to serve one.

`python -m benchmarks.models`. Peers are installed below the folder `--peers`, each in its own
virtual environment; those that cannot be installed are named. What the drivers of peers run imports
nothing of RLMesh.

    task                  the observation, the chunk, and how long the model takes
    ours, peers           the contenders: a server in another process, and clients of it
    catalogue             the contenders by name
    driver                the process that asks one contender: one turn after the other
    installing            makes the virtual environments of peers
    processes             starts the drivers and lets them take turns
    episodes              what RLMesh alone has: prefetch, reload
    results, report       what came out, the bars, and the page
"""
