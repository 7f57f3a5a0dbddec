"""Reads the metrics of a server as Prometheus does."""

from __future__ import annotations

import urllib.request
from typing import Any

import rlmesh


def scrape(server: rlmesh.EnvServer | rlmesh.ModelWorker) -> str:
    """What the server answers."""
    address = server.metrics_address
    assert address is not None
    url = f"http://{address.removeprefix('tcp://')}/metrics"
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def metrics(server: rlmesh.EnvServer | rlmesh.ModelWorker) -> dict[tuple[Any, ...], float]:
    """The samples: name and the values of the labels, in their order, lead to the value."""
    # Only here: tests collect without the extra.
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(scrape(server))
        for sample in family.samples
    }
