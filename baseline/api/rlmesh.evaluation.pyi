# Written by `make baseline`; do not edit.
__stability__ = Experimental

@Experimental
class Episode:
    task: str
    seed: int
    total_reward: float
    length: int
    success: bool | None
    ending: Literal["terminated", "truncated", "max_steps", "error"]
    error: str | None
    held: int
    seconds: float
    env_seconds: float
    policy_seconds: float
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, data: object) -> rlmesh.evaluation.Episode: ...
    def __init__(
        self,
        *,
        task: str,
        seed: int,
        total_reward: float,
        length: int,
        success: bool | None,
        ending: Literal["terminated", "truncated", "max_steps", "error"],
        error: str | None = None,
        held: int = 0,
        seconds: float = 0.0,
        env_seconds: float = 0.0,
        policy_seconds: float = 0.0,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class Summary:
    task: str
    episodes: int
    errors: int
    mean_return: float
    return_interval: rlmesh.evaluation.Interval
    mean_length: float
    judged: int
    success_rate: float | None
    success_interval: rlmesh.evaluation.Interval | None
    env_step_seconds: float
    policy_step_seconds: float
    held_steps: int
    def __init__(
        self,
        *,
        task: str,
        episodes: int,
        errors: int,
        mean_return: float,
        return_interval: rlmesh.evaluation.Interval,
        mean_length: float,
        judged: int,
        success_rate: float | None,
        success_interval: rlmesh.evaluation.Interval | None,
        env_step_seconds: float,
        policy_step_seconds: float,
        held_steps: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class Interval(NamedTuple):
    low: float
    high: float
    __match_args__ = ("low", "high")

@Experimental
class Identity:
    of: Literal["environment", "policy"]
    task: str
    id: str
    fingerprint: str
    @classmethod
    def from_dict(cls, data: object) -> rlmesh.evaluation.Identity: ...
    def __init__(
        self, *, of: Literal["environment", "policy"], task: str, id: str, fingerprint: str
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
