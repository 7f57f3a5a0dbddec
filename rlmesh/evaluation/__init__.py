"""Measures a policy: runs it in environments, each seed once, and says how it did.

`rlmesh.evaluate` and `rlmesh.compare` are here, and what they return.

Modules:
    evaluating: `evaluate`, and the plan that it runs.
    runner: The threads, and the seeds that wait.
    driving: One environment, driven until no seed waits.
    lane: One episode in progress.
    worlds: Single and vector environments as one thing.
    sources: Where environments come from: ids, addresses, callables.
    policies: What a policy may be, and how it is asked.
    latency: For how long the world goes on while the policy computes.
    success: Whether an episode solved its task.
    kept: Records what happens in the environments.
    filming: Films the episodes.
    journal: The file of the episodes that have ended.
    episode: What one episode was.
    json_data: Data as JSON gives it.
    whole_file: Files that take their place once they are whole.
    results: `Evaluation`.
    summary: Means and rates of a task.
    intervals: Intervals and tests, by scipy.
    comparison: `compare`.
    table, plotting: An evaluation for people.
"""

from __future__ import annotations

from rlmesh.evaluation.episode import Episode, Identity
from rlmesh.evaluation.intervals import Interval
from rlmesh.evaluation.summary import Summary

__all__ = ["Episode", "Identity", "Interval", "Summary"]
