"""Measures RLMesh beside what users would otherwise take: `python -m benchmarks`."""
