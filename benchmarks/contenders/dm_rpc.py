"""dm-env-rpc: its connection and adaptor on one side, its service around the environment."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from dm_env_rpc.v1 import (
    connection,
    dm_env_adaptor,
    dm_env_rpc_pb2,
    dm_env_rpc_pb2_grpc,
    spec_manager,
    tensor_utils,
)

from benchmarks.contenders.driven import Driven
from benchmarks.guards import is_dict
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@contextlib.contextmanager
def open_it(workload: Workload) -> Generator[Driven]:
    """Over TCP, as the project's own examples connect."""
    actions = itertools.cycle(workload.actions())
    with (
        peer(serve, workload.key) as target,
        connection.create_secure_channel_and_connect(target) as link,
    ):
        env, _ = dm_env_adaptor.create_and_join_world(link, {}, {})
        with contextlib.closing(env):
            yield Driven(lambda: env.step({"action": next(actions)}).last(), env.reset)


def serve(announce: Announce, workload: str) -> None:
    """The other process."""
    server = grpc.server(futures.ThreadPoolExecutor(1), options=_UNLIMITED)
    dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(_Service(WORKLOADS[workload]), server)
    port = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    server.start()
    announce(f"127.0.0.1:{port}")
    server.wait_for_termination()


class _Service(dm_env_rpc_pb2_grpc.EnvironmentServicer):
    """One world around one environment."""

    def __init__(self, workload: Workload) -> None:
        self._env: Any = workload.make()
        self._num_envs = workload.num_envs
        self._env.reset()
        action = workload.actions()[0]
        self._specs = dm_env_rpc_pb2.ActionObservationSpecs(
            actions=_specs({"action": action}),
            observations=_specs(self._tensors(self._env.step(action))),
        )
        self._actions = spec_manager.SpecManager(self._specs.actions)
        self._observations = spec_manager.SpecManager(self._specs.observations)
        self._fresh = True

    def Process(  # noqa: N802  the service's own name for it
        self, requests: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """Answers the requests of one client."""
        for request in requests:
            kind = request.WhichOneof("payload")
            yield dm_env_rpc_pb2.EnvironmentResponse(**{kind: self._answer(kind, request)})

    def _answer(self, kind: str, request: Any) -> Any:
        match kind:
            case "step":
                return self._step(request.step)
            case "reset":
                self._fresh = True
                return dm_env_rpc_pb2.ResetResponse(specs=self._specs)
            case "create_world":
                return dm_env_rpc_pb2.CreateWorldResponse(world_name="world")
            case "join_world":
                self._fresh = True
                return dm_env_rpc_pb2.JoinWorldResponse(specs=self._specs)
            case "leave_world":
                return dm_env_rpc_pb2.LeaveWorldResponse()
            case "destroy_world":
                return dm_env_rpc_pb2.DestroyWorldResponse()
            case _:
                raise ValueError(f"no answer to {kind}")

    def _step(self, request: Any) -> Any:
        state = dm_env_rpc_pb2.EnvironmentStateType.RUNNING
        if self._fresh:
            # The first step of an episode gives what the reset gave, and ignores its action.
            self._fresh = False
            observation, _ = self._env.reset()
            tensors = self._tensors((observation, 0.0, False, False, {}))
        else:
            action = self._actions.unpack(request.actions)["action"]
            result = self._env.step(action)
            tensors = self._tensors(result)
            if not self._num_envs and (result[2] or result[3]):
                state = (
                    dm_env_rpc_pb2.EnvironmentStateType.TERMINATED
                    if result[2]
                    else dm_env_rpc_pb2.EnvironmentStateType.INTERRUPTED
                )
                self._fresh = True
        return dm_env_rpc_pb2.StepResponse(
            state=state, observations=self._observations.pack(tensors)
        )

    def _tensors(self, result: Any) -> dict[str, Any]:
        observation, reward, terminated, truncated, info = result
        tensors = dict(_leaves("observation", observation))
        if self._num_envs:
            # A state stands for one episode only; a first step has no rewards of sub-environments.
            flags = {"rewards": reward, "terminations": terminated, "truncations": truncated}
            tensors |= {
                name: np.broadcast_to(value, (self._num_envs,)) for name, value in flags.items()
            }
        else:
            tensors["reward"] = np.float64(reward)
        return tensors | dict(_leaves("info", info))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_dict(value):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}", item)
    else:
        yield name, value


def _specs(tensors: dict[str, Any]) -> dict[int, Any]:
    return {
        uid: dm_env_rpc_pb2.TensorSpec(
            name=name,
            shape=np.shape(value),
            dtype=tensor_utils.np_type_to_data_type(np.asarray(value).dtype.type),
        )
        for uid, (name, value) in enumerate(tensors.items(), 1)
    }
