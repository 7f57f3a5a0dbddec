"""Whether the calls of a recording fit its contract: a damaged file may hold anything."""

from __future__ import annotations

from rlmesh.codec.infos.packing import unpack, unpack_info
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.contract import EnvContract
from rlmesh.recording.encoding import DIGEST_BYTES
from rlmesh_api.v1 import session_pb2


class CallChecker:
    """Checks calls, so that whoever reads them need not.

    Args:
        contract: The contract of the environment.
        digest: Whether there are only digests of observations.
    """

    def __init__(self, contract: EnvContract, *, digest: bool) -> None:
        num_envs = contract.num_envs if contract.vector else None
        self._count = 1 if num_envs is None else num_envs
        self._action: Layout = compile_layout(contract.action_space, num_envs)
        self._observation = compile_layout(contract.observation_space, num_envs)
        self._digest = digest

    def reset(self, call: session_pb2.ResetCall, result: session_pb2.ResetResult | None) -> None:
        """Checks a reset.

        Raises:
            ValueError: If it holds what cannot be.
        """
        for packed in (call.seed, call.options):
            if packed:
                unpack(packed)
        if result is not None:
            self._returned(result.observation, result.info)

    def step(self, action: bytes, result: session_pb2.StepResult | None) -> None:
        """Checks a step.

        Raises:
            ValueError: If it holds what cannot be.
        """
        self._action.decode(action)
        if result is None:
            return
        self._returned(result.observation, result.info)
        for numbers in (result.rewards, result.terminations, result.truncations):
            if len(numbers) != self._count:
                raise ValueError(
                    f"a step has {len(numbers)} rewards or flags of {self._count} environments"
                )

    def _returned(self, observation: bytes, info: bytes) -> None:
        if not self._digest:
            self._observation.decode(observation)
        elif len(observation) != DIGEST_BYTES:
            raise ValueError(f"a digest has {len(observation)} bytes instead of {DIGEST_BYTES}")
        if info:
            unpack_info(info)
