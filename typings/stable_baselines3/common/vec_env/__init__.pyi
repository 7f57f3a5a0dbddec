from abc import ABC
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium

class VecEnv(ABC):
    num_envs: int
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    render_mode: str | None
    metadata: dict[str, Any]
    reset_infos: list[dict[str, Any]]
    _seeds: list[int | None]
    _options: list[dict[str, Any]]

    def __init__(
        self,
        num_envs: int,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
    ) -> None: ...
    def _reset_seeds(self) -> None: ...
    def _reset_options(self) -> None: ...
    def has_attr(self, attr_name: str) -> bool: ...
    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]: ...
    def seed(self, seed: int | None = None) -> Sequence[int | None]: ...
    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None: ...
    def step(self, actions: Any) -> tuple[Any, Any, Any, list[dict[str, Any]]]: ...

def __getattr__(name: str) -> Any: ...  # pyright: ignore[reportIncompleteStub] # tests use more
