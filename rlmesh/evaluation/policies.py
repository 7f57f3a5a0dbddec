"""What an evaluation takes as a policy, and how its episodes ask it."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Generator, Mapping
from functools import partial
from time import perf_counter
from typing import Any, Protocol, get_origin

from rlmesh.chunking.chunks import Chunks
from rlmesh.client.model import RemoteModel
from rlmesh.contract import EnvContract, ModelContract
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError


class Actor(Protocol):
    """What acts in the episodes of one sub-environment, one after the other."""

    def reset(self, seed: int) -> None:
        """Begins an episode."""
        ...

    def post(self, observation: Any) -> None:
        """Asks for the action for an observation; a served model begins to compute."""
        ...

    def take(self) -> tuple[Any, float]:
        """The action that was asked for, and how long it took, in seconds."""
        ...


class _Local:
    """A policy in this process. It computes when the action is taken."""

    def __init__(self, act: Callable[[Any], Any], reset: Callable[..., Any] | None) -> None:
        self._act = act
        self._reset = reset
        self._seeded = reset is not None and _takes_seed(reset)
        self._observation: Any = None

    def reset(self, seed: int) -> None:
        """Begins an episode, with the seed where the policy's `reset` takes one."""
        if self._reset is not None:
            self._reset(**({"seed": seed} if self._seeded else {}))

    def post(self, observation: Any) -> None:
        """Keeps the observation."""
        self._observation = observation

    def take(self) -> tuple[Any, float]:
        """Computes the action."""
        began = perf_counter()
        action = self._act(self._observation)
        return action, perf_counter() - began


class _Served:
    """A served model. Those of several sub-environments compute at the same time."""

    def __init__(self, model: RemoteModel[Any, Any]) -> None:
        self._model = model
        self._posted = 0.0

    def reset(self, seed: int) -> None:
        """Begins an episode of the model's session."""
        self._model.reset(seed)

    def post(self, observation: Any) -> None:
        """Sends the observation."""
        self._posted = perf_counter()
        self._model.post(observation)

    def take(self) -> tuple[Any, float]:
        """Waits for the action."""
        action = self._model.take()
        return action, perf_counter() - self._posted


class PolicySource:
    """Opens what acts, once for each sub-environment. Any thread may call `open`.

    Args:
        policy: A callable of an observation; an object with `predict`, and `reset` where it keeps
            state; a `RemoteModel`, `Chunks`, the address of a model, or a `functools.partial` of
            `RemoteModel` with the address and how to connect.
        options: How to connect to an address, as keyword arguments of `RemoteModel`.

    Attributes:
        name: What the policy is called in a result.
        alone: Whether it keeps the state of one episode, and so acts in one at a time.

    Raises:
        ArgumentTypeError: If it is none of these.
        InvalidArgumentError: If it is a text that is no address.
    """

    def __init__(self, policy: Any, options: Mapping[str, Any]) -> None:
        self._connect: Callable[..., RemoteModel[Any, Any]] | None = _connection(policy, options)
        self._make: Callable[[], Actor] | None = None
        self.alone: bool = False
        if self._connect is None:
            self._make, self.alone = _maker(policy)
        self._contract = _model_contract(policy)
        self.name: str = _name(policy)
        # Guards `_used`.
        self._lock = threading.Lock()
        self._used = False

    def check(self, workers: int) -> None:
        """Checks that so many workers can use the policy.

        Args:
            workers: How many there are.

        Raises:
            InvalidArgumentError: If it acts in one episode at a time, and there are more.
        """
        if self.alone and workers > 1:
            raise self._several()

    @contextlib.contextmanager
    def open(self, env: EnvContract | None) -> Generator[tuple[Actor, ModelContract | None]]:
        """What acts in one sub-environment, and its contract where it has one.

        Args:
            env: The contract of the environment; a served model must fit it.

        Raises:
            InvalidArgumentError: If the policy acts in one episode at a time, and there are more.
            ContractMismatchError: If a served model does not fit the environment.
            RlmeshError: What connecting raises.
        """
        if self._connect is not None:
            with self._connect(**({} if env is None else {"env": env})) as model:
                yield _Served(model), model.model_contract
        elif self._make is not None:
            with self._used_alone():
                yield self._make(), self._contract

    def _several(self) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"the policy {self.name} begins each episode by reset, so it keeps the state of one "
            f"episode at a time, and several episodes run at once; pass workers=1 and a single "
            f"environment, or the address of a ModelWorker, which keeps a state for each"
        )

    @contextlib.contextmanager
    def _used_alone(self) -> Generator[None]:
        if not self.alone:
            yield
            return
        with self._lock:
            if self._used:
                raise self._several()
            self._used = True
        try:
            yield
        finally:
            with self._lock:
                self._used = False


def _connection(
    policy: Any, options: Mapping[str, Any]
) -> Callable[..., RemoteModel[Any, Any]] | None:
    """What connects to a served model; None where the policy is here."""
    if _is_connection(policy):
        found: Callable[..., RemoteModel[Any, Any]] = policy
        return found
    if not isinstance(policy, str):
        return None
    if "://" not in policy:
        raise InvalidArgumentError(
            f"a policy that is a text is the address of a model, tcp://HOST:PORT or "
            f"unix:///PATH; got {policy!r:.80}"
        )
    return partial(RemoteModel[Any, Any], policy, **options)


def _is_connection(policy: Any) -> bool:
    if not isinstance(policy, partial):
        return False
    # `RemoteModel[ObsType, ActType]` is not a type itself.
    made: Any = get_origin(policy.func) or policy.func
    return isinstance(made, type) and issubclass(made, RemoteModel)


def _maker(policy: Any) -> tuple[Callable[[], Actor], bool]:
    """Makes what acts, and whether it acts in one episode at a time."""
    if isinstance(policy, RemoteModel):
        return partial(_Served, policy), True
    if isinstance(policy, Chunks):
        return partial(_Local, policy.act, policy.reset), True
    predict = getattr(policy, "predict", None)
    if callable(predict) and not isinstance(policy, type):
        reset = getattr(policy, "reset", None)
        return partial(_Local, predict, reset if callable(reset) else None), callable(reset)
    if callable(policy) and not isinstance(policy, type):
        return partial(_Local, policy, None), False
    raise ArgumentTypeError(
        f"a policy is a callable of an observation, an object with predict, a rlmesh.RemoteModel, "
        f"rlmesh.Chunks or the address of a model; got {type(policy).__name__} {policy!r:.80}"
    )


def _model_contract(policy: Any) -> ModelContract | None:
    # Chunks and adapted models have the model inside.
    for owner in (policy, getattr(policy, "model", None)):
        contract = getattr(owner, "model_contract", None)
        if isinstance(contract, ModelContract):
            return contract
    return None


def _takes_seed(reset: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(reset).parameters.values()
    except (TypeError, ValueError):  # a callable of another language says nothing
        return False
    return any(each.name == "seed" or each.kind is each.VAR_KEYWORD for each in parameters)


def _name(policy: Any) -> str:
    if isinstance(policy, str):
        return policy
    if _is_connection(policy):
        given = {"address": policy.args[0] if policy.args else "", **policy.keywords}
        return str(given["address"])
    if not hasattr(policy, "__qualname__"):
        return _name(type(policy))
    return f"{policy.__module__}:{policy.__qualname__}"
