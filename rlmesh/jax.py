"""JAX: clients whose observations are JAX's arrays, and functions of JAX as models.

Importing this module imports jax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from rlmesh.client.array_clients import ArrayEnv, ArrayVectorEnv
from rlmesh.codec.infos.foreign_arrays import read_array
from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_row, is_scalar
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.contract import EnvContract
from rlmesh.counts import check_count
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, InvalidObservationError
from rlmesh.spaces import from_gymnasium_space
from rlmesh.type_arguments import ActType, ObsType

try:
    import jax as _jax
    import jax.numpy as _jnp
except ImportError as _missing:
    raise ImportError(f"rlmesh.jax needs JAX ({_missing}); pip install jax") from _missing

__all__ = ["Model", "RemoteEnv", "RemoteVectorEnv"]

# The alignment that XLA needs on the CPU for memory that it shares, in bytes.
_ALIGNMENT = 64
_WORDS_OF_X64 = 'enable it with jax.config.update("jax_enable_x64", True), or pass narrow=True'


class RemoteEnv(ArrayEnv[ObsType, ActType], Generic[ObsType, ActType]):
    """`rlmesh.RemoteEnv` with JAX's arrays.

    Every array and number of an observation is a `jax.Array` of the same shape and dtype; actions
    may be arrays of any device, and of bfloat16. On the CPU an observation is copied once, as for
    `rlmesh.RemoteEnv`. Texts, rewards, flags and infos are as in `rlmesh.RemoteEnv`, and so are
    arguments and errors. A `step` inside of `jax.jit` goes through `jax.experimental.io_callback`.

    Args:
        address: The server's address.
        device: The device of the arrays: a `jax.Device`, or the name of a platform, `cpu`, or of
            one of its devices, `cuda:1`. None: JAX's default device.
        narrow: Whether observations of 64 bits become observations of 32 bits as long as JAX has
            x64 disabled; an integer that does not fit is an `InvalidObservationError`. False: they
            are refused then, since JAX would change them silently.
        **options: The other arguments of `rlmesh.RemoteEnv`. `copy` makes no difference to what
            the caller gets, since JAX's arrays own their memory.

    Raises:
        InvalidArgumentError: If this process has no such device, or if observations are of 64 bits,
            JAX has x64 disabled, and `narrow` is false.
        ArgumentTypeError: If the device is of another type.
        RlmeshError: What `rlmesh.RemoteEnv` raises.
    """

    def __init__(
        self, address: str, *, device: Any = None, narrow: bool = False, **options: Any
    ) -> None:
        # Before anything is connected: a device that is not there must hold no session.
        checked = _checked(device)
        # One copy is enough, and JAX's memory needs an alignment of its own.
        options.setdefault("copy", False)
        super().__init__(address, **options)
        self._arrays = _Arrays(checked, narrow)
        try:
            self._arrays.check(self.env_contract)
        except BaseException:
            self.close()
            raise
        self.metadata["jax"] = True

    def _received(self, value: Any) -> Any:
        return self._arrays(value)

    def _sent(self, value: Any) -> Any:
        return _read(value)


class RemoteVectorEnv(ArrayVectorEnv[ObsType, ActType], Generic[ObsType, ActType]):
    """`rlmesh.RemoteVectorEnv` with JAX's arrays.

    Every array of the observations, and rewards, terminations and truncations, are JAX's arrays;
    actions may be arrays of any device. Rewards are of JAX's own float: float32, or float64 where
    x64 is enabled. Texts and infos are as in `rlmesh.RemoteVectorEnv`, and so are arguments and
    errors. A `step` inside of `jax.jit` goes through `jax.experimental.io_callback`.

    Args:
        address: The server's address, or a list of addresses.
        device: The device of the arrays: a `jax.Device`, or the name of a platform, `cpu`, or of
            one of its devices, `cuda:1`. None: JAX's default device.
        narrow: Whether observations of 64 bits become observations of 32 bits as long as JAX has
            x64 disabled; an integer that does not fit is an `InvalidObservationError`. False: they
            are refused then, since JAX would change them silently.
        **options: The other arguments of `rlmesh.RemoteVectorEnv`. `copy` makes no difference to
            what the caller gets, since JAX's arrays own their memory.

    Raises:
        InvalidArgumentError: If this process has no such device, or if observations are of 64 bits,
            JAX has x64 disabled, and `narrow` is false.
        ArgumentTypeError: If the device is of another type.
        RlmeshError: What `rlmesh.RemoteVectorEnv` raises.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        device: Any = None,
        narrow: bool = False,
        **options: Any,
    ) -> None:
        self.closed = True  # for Gymnasium's __del__, if what follows raises
        checked = _checked(device)
        options.setdefault("copy", False)
        super().__init__(address, **options)
        self._arrays = _Arrays(checked, narrow)
        try:
            self._arrays.check(self.env_contract)
        except BaseException:
            self.close()
            raise
        self.metadata["jax"] = True

    def _received(self, value: Any) -> Any:
        return self._arrays(value)

    def _received_rewards(self, rewards: npt.NDArray[Any]) -> Any:
        return self._arrays(rewards.astype(_held(rewards.dtype), copy=False))

    def _sent(self, value: Any) -> Any:
        return _read(value)


class Model:
    """A function of JAX as a model for `rlmesh.ModelWorker`.

    The function is called with a stack of observations, as JAX's arrays on its device: with an
    array, or for a Dict with a dict and for a Tuple with a tuple of arrays. It returns arrays,
    stacked in the same way: the actions, or with `horizon` the chunks,
    `(observations, horizon, *shape)`. A network is given with its parameters, as
    `functools.partial(network.apply, parameters)`.

    JAX compiles the function once for each size of a batch. So each batch is filled up to the next
    of `warm_sizes` with copies of its last observation, and those sizes are compiled before health
    says SERVING. A batch that is larger than all of them keeps its size.

    Args:
        function: The function.
        observation_space: The space of one observation. None: what `ModelWorker` is given.
        action_space: The space of one action. None: likewise.
        device: The device, a `jax.Device` or its name, as for `RemoteEnv`. None: JAX's default
            device.
        horizon: How many actions the function gives for an observation. None: one, without an axis
            for it.
        warm_sizes: The sizes of batches that are compiled in advance.
        jit: Whether `jax.jit` compiles the function. False for one that does so itself, or takes
            texts.
        narrow: Whether observations of 64 bits become observations of 32 bits, as for `RemoteEnv`.

    Attributes:
        observation_space: As said.
        action_space: As said.
        horizon: As said.

    Raises:
        InvalidArgumentError: If this process has no such device, or a size is below 1.
        ArgumentTypeError: If the device is of another type, or a size is no integer.
    """

    keeps_state = False

    def __init__(
        self,
        function: Callable[[Any], Any],
        observation_space: Any = None,
        action_space: Any = None,
        *,
        device: Any = None,
        horizon: int | None = None,
        warm_sizes: Sequence[int] = (1,),
        jit: bool = True,
        narrow: bool = False,
    ) -> None:
        self._arrays = _Arrays(_checked(device), narrow)
        self._function = _jax.jit(function) if jit else function
        self._sizes = sorted(check_count("warm_sizes", size) or 1 for size in warm_sizes)
        self.observation_space: Any = observation_space
        self.action_space: Any = action_space
        self.horizon: int | None = horizon
        # `ModelWorker` looks which of the two the model has.
        if horizon is None:
            self.predict_batch: Callable[[Any], Any] = self._ask
        else:
            self.predict_chunk_batch: Callable[[Any], Any] = self._ask

    def warmup(self) -> None:
        """Calls the function with zeros, in batches of each size.

        Raises:
            UnsupportedSpaceError: If the space of observations cannot be carried.
            InvalidArgumentError: If observations are of 64 bits, JAX has x64 disabled, and `narrow`
                is false.
            ArgumentTypeError: If the function returns a value that JAX still traces.
        """
        if self.observation_space is None:
            return
        space = from_gymnasium_space(self.observation_space)
        for size in self._sizes:
            layout = compile_layout(space, size)
            self._ask(layout.decode(bytes(layout.size)))

    def _ask(self, observations: Any) -> Any:
        count = _length(observations)
        size = next((size for size in self._sizes if size >= count), count)
        filled = _filled(observations, size - count) if size > count else observations
        returned = _read(self._function(self._arrays(filled)))
        return _first(returned, count) if size > count else returned


def _length(value: Any) -> int:
    """How many values are stacked in a value: the length of its first leaf."""
    while is_mapping(value) or (is_row(value) and value and not isinstance(value[0], str)):
        value = next(iter(value.values() if is_mapping(value) else value))
    return len(value)


def _filled(value: Any, more: int) -> Any:
    """A stack with so many more copies of its last value."""
    if is_mapping(value):
        return {key: _filled(part, more) for key, part in value.items()}
    if is_array(value):
        return np.concatenate([value, np.repeat(value[-1:], more, 0)])
    if isinstance(value[0], str):
        return (*value, *value[-1:] * more)
    return tuple(_filled(part, more) for part in value)


def _first(value: Any, count: int) -> Any:
    """The first values of a stack; what is none is as it was, for the check of actions to name."""
    if is_mapping(value):
        return {key: _first(part, count) for key, part in value.items()}
    if is_array(value):
        return value[:count]
    if is_row(value):
        return tuple(_first(part, count) for part in value)
    return value


class _Arrays:
    """Makes JAX's arrays of what is received.

    Args:
        device: The device of the arrays.
        narrow: Whether 64 bits become 32 where JAX cannot hold them.
    """

    def __init__(self, device: Any, narrow: bool) -> None:
        self._device = device
        self._narrow = narrow
        # Only the first device of the CPU takes memory as it is.
        self._shares = device in _devices("cpu")[:1]

    def check(self, contract: EnvContract) -> None:
        """Checks that JAX can hold the observations.

        Raises:
            InvalidArgumentError: If it cannot, and they must not be narrowed.
        """
        for leaf in compile_layout(contract.observation_space).leaves:
            self._held_as(leaf.dtype, leaf.path)

    def __call__(self, value: Any) -> Any:
        if is_array(value):
            return self._array(value)
        if is_mapping(value):
            return {key: self(part) for key, part in value.items()}
        if is_row(value):
            return tuple(self(part) for part in value)
        # A number of a Discrete.
        return self._array(np.asarray(value)) if is_scalar(value) else value

    def _array(self, array: npt.NDArray[Any]) -> Any:
        dtype = self._held_as(array.dtype)
        if dtype != array.dtype and dtype.kind in "iu" and array.size:
            limits = np.iinfo(dtype)
            for number in (int(array.min()), int(array.max())):
                if not limits.min <= number <= limits.max:
                    raise InvalidObservationError(
                        f"an observation holds {number}, which {dtype.name} does not hold; enable "
                        f'x64 with jax.config.update("jax_enable_x64", True)'
                    )
        memory = _own_memory(array, dtype)
        if self._shares:
            return _jnp.from_dlpack(memory, copy=False)
        return _jax.device_put(memory, self._device)

    def _held_as(self, dtype: np.dtype[Any], path: str = "") -> np.dtype[Any]:
        """The dtype in which JAX holds what is of this one."""
        held = _held(dtype)
        if held != dtype and not self._narrow:
            raise InvalidArgumentError(
                f"{f'the observation at {path}' if path else 'an observation'} is {dtype.name}, "
                f"and JAX has x64 disabled, so it would become {held.name}; {_WORDS_OF_X64}"
            )
        return held


def _held(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.itemsize < np.dtype(np.int64).itemsize:
        return dtype
    held: np.dtype[Any] = _jax.dtypes.canonicalize_dtype(dtype)
    return held


def _own_memory(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The array in memory that nobody else writes on, aligned as XLA needs it to share it."""
    flags = array.flags
    # An array that can be written on is the caller's own; others are views of what was received.
    if (
        dtype == array.dtype
        and flags.writeable
        and flags.c_contiguous
        and array.ctypes.data % _ALIGNMENT == 0
    ):
        return array
    memory = np.empty(array.size * dtype.itemsize + _ALIGNMENT, np.uint8)
    made: npt.NDArray[Any] = np.ndarray(
        array.shape, dtype, memory, -memory.ctypes.data % _ALIGNMENT
    )
    np.copyto(made, array, casting="unsafe")
    return made


def _read(value: Any) -> Any:
    """An action in arrays of NumPy."""
    if isinstance(value, _jax.core.Tracer):
        raise ArgumentTypeError(
            "the action is traced: the client was called inside of jax.jit or another "
            "transformation of JAX; call it there through jax.experimental.io_callback"
        )
    if isinstance(value, _jax.Array):
        try:
            return read_array(value)
        except Exception:  # noqa: BLE001 - the check of actions says what is wrong with it
            return value
    if is_mapping(value):
        return {key: _read(part) for key, part in value.items()}
    if is_row(value):
        return tuple(_read(part) for part in value)
    return value


def _checked(device: Any) -> Any:
    """The device as a `jax.Device` of this process; JAX's default device for None."""
    if device is None:
        device = _jax.config.jax_default_device or _jax.local_devices()[0]
    if isinstance(device, _jax.Device):
        name, platform, index = str(device), device.platform, str(device.id)
    elif isinstance(device, str):
        name = device
        platform, _, index = device.partition(":")
    else:
        raise ArgumentTypeError(
            f"device must be a jax.Device or its name, got {type(device).__name__}"
        )
    # JAX takes an empty name for its default platform.
    for found in _devices(platform) if platform else []:
        if index in ("", str(found.id)):
            return found
    there = {*_devices(None), *_devices("cpu")}
    raise InvalidArgumentError(
        f"device={name!r}: this process has no such device for JAX, it has "
        f"{', '.join(sorted(str(found) for found in there))}"
    )


def _devices(platform: str | None) -> list[Any]:
    """This process's devices of a platform, or of JAX's default one; none of an unknown one."""
    try:
        return list(_jax.local_devices(backend=platform))
    except RuntimeError:
        return []
