"""The clients of sessions: those that make spans, where this process has a tracer provider."""

from __future__ import annotations

from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.model_client import ModelClient
from rlmesh.client.model_endpoint import ModelConnectOptions
from rlmesh.tracing import configured_tracer


def connect_env(address: str, options: EnvConnectOptions) -> EnvClient:
    """A session with an environment; arguments and errors are those of `EnvClient`."""
    if configured_tracer() is None:
        return EnvClient(address, options)
    # Only here: OpenTelemetry may not be installed.
    from rlmesh.client.traced_env_client import TracedEnvClient

    return TracedEnvClient(address, options)


def connect_model(address: str, options: ModelConnectOptions) -> ModelClient:
    """A session with a model; arguments and errors are those of `ModelClient`."""
    if configured_tracer() is None:
        return ModelClient(address, options)
    from rlmesh.client.traced_model_client import TracedModelClient

    return TracedModelClient(address, options)
