"""PyTorch: clients whose observations are tensors, and networks as models.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from rlmesh.client.array_clients import ArrayEnv, ArrayVectorEnv
from rlmesh.codec.infos.foreign_arrays import read_array
from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_row
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.spaces import from_gymnasium_space
from rlmesh.type_arguments import ActType, ObsType

try:
    import torch
except ImportError as _missing:
    raise ImportError(f"rlmesh.torch needs PyTorch ({_missing}); pip install torch") from _missing

__all__ = ["Model", "RemoteEnv", "RemoteVectorEnv"]

# The same for type checkers with and without torch beside them.
_torch: Any = torch


class RemoteEnv(ArrayEnv[ObsType, ActType], Generic[ObsType, ActType]):
    """`rlmesh.RemoteEnv` with PyTorch tensors.

    Every array and number of an observation is a tensor of the same shape and dtype; actions may
    be tensors of any device, may require a gradient, and may be of bfloat16. Texts, rewards, flags
    and infos are as in `rlmesh.RemoteEnv`, and so are arguments and errors.

    Args:
        address: The server's address.
        device: The device of the tensors, a `torch.device` or its name; None: the CPU, where they
            share the memory received.
        **options: The other arguments of `rlmesh.RemoteEnv`.

    Raises:
        InvalidArgumentError: If this process has no such device.
        ArgumentTypeError: If the device is of another type.
        RlmeshError: What `rlmesh.RemoteEnv` raises.
    """

    def __init__(self, address: str, *, device: Any = None, **options: Any) -> None:
        # Before anything is connected: a device that is not there must hold no session.
        checked = _checked(device)
        super().__init__(address, **options)
        self._device = checked
        self.metadata["torch"] = True

    def _received(self, value: Any) -> Any:
        return _tensors(value, self._device)

    def _sent(self, value: Any) -> Any:
        return _arrays(value)


class RemoteVectorEnv(ArrayVectorEnv[ObsType, ActType], Generic[ObsType, ActType]):
    """`rlmesh.RemoteVectorEnv` with PyTorch tensors.

    Every array of the observations, and rewards, terminations and truncations, are tensors of the
    same shape and dtype; actions may be tensors of any device. Texts and infos are as in
    `rlmesh.RemoteVectorEnv`, and so are arguments and errors.

    Args:
        address: The server's address, or a list of addresses.
        device: The device of the tensors, a `torch.device` or its name; None: the CPU, where they
            share the memory received.
        **options: The other arguments of `rlmesh.RemoteVectorEnv`.

    Raises:
        InvalidArgumentError: If this process has no such device.
        ArgumentTypeError: If the device is of another type.
        RlmeshError: What `rlmesh.RemoteVectorEnv` raises.
    """

    def __init__(self, address: str | Sequence[str], *, device: Any = None, **options: Any) -> None:
        self.closed = True  # for Gymnasium's __del__, if what follows raises
        checked = _checked(device)
        super().__init__(address, **options)
        self._device = checked
        self.metadata["torch"] = True

    def _received(self, value: Any) -> Any:
        return _tensors(value, self._device)

    def _received_rewards(self, rewards: npt.NDArray[Any]) -> Any:
        return _tensors(rewards, self._device)

    def _sent(self, value: Any) -> Any:
        return _arrays(value)


class Model:
    """A network as a model for `rlmesh.ModelWorker`.

    The network is called with a stack of observations, as tensors on its device, in inference mode:
    with a tensor, or for a Dict with a dict and for a Tuple with a tuple of tensors. It returns
    tensors, stacked in the same way: the actions, or with `horizon` the chunks,
    `(observations, horizon, *shape)`.

    Args:
        module: The network, a `torch.nn.Module` or any callable. It is moved to the device, and set
            to evaluation.
        observation_space: The space of one observation. None: the module's own attribute, or what
            `ModelWorker` is given.
        action_space: The space of one action. None: likewise.
        device: The device, a `torch.device` or its name. None: the CPU.
        horizon: How many actions the network gives for an observation. None: one, without an axis
            for it.
        warm_sizes: The sizes of the batches with which the network is warmed up.

    Attributes:
        observation_space: As said.
        action_space: As said.
        horizon: As said.

    Raises:
        InvalidArgumentError: If this process has no such device.
        ArgumentTypeError: If the device is of another type.
    """

    keeps_state = False

    def __init__(
        self,
        module: Any,
        observation_space: Any = None,
        action_space: Any = None,
        *,
        device: Any = None,
        horizon: int | None = None,
        warm_sizes: Sequence[int] = (1,),
    ) -> None:
        device = _checked(device)
        if device is not None and callable(move := getattr(module, "to", None)):
            move(device)
        if callable(set_eval := getattr(module, "eval", None)):
            set_eval()
        self._module = module
        self._device = device
        self._warm_sizes = tuple(warm_sizes)
        self.observation_space: Any = _own(module, "observation_space", observation_space)
        self.action_space: Any = _own(module, "action_space", action_space)
        self.horizon: int | None = horizon
        # `ModelWorker` looks which of the two the model has.
        if horizon is None:
            self.predict_batch: Callable[[Any], Any] = self._ask
        else:
            self.predict_chunk_batch: Callable[[Any], Any] = self._ask

    def warmup(self) -> None:
        """Calls the network with zeros, in batches of each size.

        Raises:
            UnsupportedSpaceError: If the space of observations cannot be carried.
        """
        if self.observation_space is None:
            return
        space = from_gymnasium_space(self.observation_space)
        for size in self._warm_sizes:
            layout = compile_layout(space, size)
            self._ask(layout.decode(bytes(layout.size)))

    def _ask(self, observations: Any) -> Any:
        with _torch.inference_mode():
            return _arrays(self._module(_tensors(observations, self._device)))


def _own(module: Any, name: str, given: Any) -> Any:
    return getattr(module, name, None) if given is None else given


def _checked(device: Any) -> Any:
    """The device as a `torch.device` on which there are tensors that can be read; None for None."""
    if device is None:
        return None
    try:
        checked = _torch.device(device)
        # Only the use of a device that is not there fails; tensors of "meta" have no data.
        _torch.zeros(1, device=checked).cpu()
    except TypeError as error:
        raise ArgumentTypeError(
            f"device must be a torch.device or its name, got {type(device).__name__}"
        ) from error
    except Exception as error:
        there = ", ".join(_devices())
        raise InvalidArgumentError(
            f"device={str(device)!r}: this process has no such device for PyTorch, it has {there}. "
            f"PyTorch says: {str(error).partition(chr(10))[0]}"
        ) from error
    return checked


def _devices() -> list[str]:
    found = ["cpu"]
    for kind in ("cuda", "mps", "xpu"):
        module = getattr(_torch, kind, None)
        if module is not None and module.is_available():
            found += [f"{kind}:{index}" for index in range(module.device_count())]
    return found


def _tensors(value: Any, device: Any) -> Any:
    if is_array(value):
        # A tensor can be written on, a view of what the server sends cannot.
        tensor = _torch.from_numpy(value if value.flags.writeable else value.copy())
        return tensor if device is None else tensor.to(device)
    if is_mapping(value):
        return {key: _tensors(part, device) for key, part in value.items()}
    if is_row(value):
        return tuple(_tensors(part, device) for part in value)
    # A number of a Discrete.
    return _tensors(np.array(value), device) if issubclass(type(value), np.generic) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, _torch.Tensor):
        try:
            return read_array(value)
        except Exception:  # noqa: BLE001 - the check of actions says what is wrong with it
            return value
    if is_mapping(value):
        return {key: _arrays(part) for key, part in value.items()}
    if is_row(value):
        return tuple(_arrays(part) for part in value)
    return value
