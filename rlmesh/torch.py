"""Clients whose observations are PyTorch tensors. Importing this module imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # pyright: ignore[reportMissingImports] # optional: the importing program has it

from rlmesh.client import env as numpy_env
from rlmesh.client import vector_env as numpy_vector_env
from rlmesh.client.transitions import Transitions
from rlmesh.codec.infos.type_guards import is_mapping, is_row

__all__ = ["RemoteEnv", "RemoteVectorEnv"]

# The same for type checkers with and without torch beside them.
_torch: Any = torch


class RemoteEnv(numpy_env.RemoteEnv[Any, Any]):
    """`rlmesh.RemoteEnv` with PyTorch tensors.

    Every array and number of an observation is a tensor of the same shape and dtype; actions may
    be tensors of any device. Texts, rewards, flags and infos are as in `rlmesh.RemoteEnv`, and so
    are arguments and errors.

    Args:
        address: The server's address.
        device: The device of the tensors, a `torch.device` or its name; None: the CPU, where they
            share the memory received.
        **options: The other arguments of `rlmesh.RemoteEnv`.
    """

    def __init__(self, address: str, *, device: Any = None, **options: Any) -> None:
        super().__init__(address, **options)
        self._device = device
        self.metadata["torch"] = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As `rlmesh.RemoteEnv.reset`."""
        observation, info = super().reset(seed=seed, options=options)
        return _tensors(observation, self._device), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As `rlmesh.RemoteEnv.step`."""
        observation, reward, terminated, truncated, info = super().step(_arrays(action))
        return _tensors(observation, self._device), reward, terminated, truncated, info

    def step_many(self, actions: Iterable[Any]) -> Transitions:
        """As `rlmesh.RemoteEnv.step_many`; the observations are tensors."""
        made = super().step_many(map(_arrays, actions))
        return made._replace(observations=_tensors(made.observations, self._device))


class RemoteVectorEnv(numpy_vector_env.RemoteVectorEnv[Any, Any]):
    """`rlmesh.RemoteVectorEnv` with PyTorch tensors.

    Every array of the observations, and rewards, terminations and truncations, are tensors of the
    same shape and dtype; actions may be tensors of any device. Texts and infos are as in
    `rlmesh.RemoteVectorEnv`, and so are arguments and errors.

    Args:
        address: The server's address.
        device: The device of the tensors, a `torch.device` or its name; None: the CPU, where they
            share the memory received.
        **options: The other arguments of `rlmesh.RemoteVectorEnv`.
    """

    def __init__(self, address: str, *, device: Any = None, **options: Any) -> None:
        super().__init__(address, **options)
        self._device = device
        self.metadata["torch"] = True

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | npt.NDArray[Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.reset`."""
        observations, infos = super().reset(seed=seed, options=options)
        return _tensors(observations, self._device), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.step`."""
        return self._stepped(super().step(_arrays(actions)))

    def step_async(self, actions: Any) -> None:
        """As `rlmesh.RemoteVectorEnv.step_async`."""
        super().step_async(_arrays(actions))

    def step_wait(self, timeout: float | None = None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.step_wait`."""
        return self._stepped(super().step_wait(timeout))

    def send(self, actions: Any, env_ids: Any = None) -> None:
        """As `rlmesh.RemoteVectorEnv.send`."""
        super().send(_arrays(actions), env_ids)

    def recv(self, timeout: float | None = None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.recv`."""
        return self._stepped(super().recv(timeout))

    def _stepped(self, result: tuple[Any, ...]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """The results of a step, its arrays as tensors."""
        *arrays, infos = result
        observations, rewards, terminations, truncations = (
            _tensors(part, self._device) for part in arrays
        )
        return observations, rewards, terminations, truncations, infos

    def step_many(self, actions: Iterable[Any]) -> Transitions:
        """As `rlmesh.RemoteVectorEnv.step_many`; all arrays are tensors."""
        *arrays, infos = super().step_many(map(_arrays, actions))
        observations, rewards, terminations, truncations = (
            _tensors(part, self._device) for part in arrays
        )
        return Transitions(observations, rewards, terminations, truncations, infos)


def _tensors(value: Any, device: Any) -> Any:
    if is_mapping(value):
        return {key: _tensors(part, device) for key, part in value.items()}
    if is_row(value):
        return tuple(_tensors(part, device) for part in value)
    if issubclass(type(value), np.ndarray | np.generic):
        array = np.asarray(value)
        # A tensor can be written on, a view of what the server sends cannot.
        return _torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)
    return value


def _arrays(value: Any) -> Any:
    if is_mapping(value):
        return {key: _arrays(part) for key, part in value.items()}
    if is_row(value):
        return tuple(_arrays(part) for part in value)
    if isinstance(value, _torch.Tensor):
        tensor: Any = value
        try:
            return tensor.detach().cpu().numpy()
        except TypeError:
            # A dtype that NumPy lacks, bfloat16 for one: the check of actions says so.
            return tensor
    return value
