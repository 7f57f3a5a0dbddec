# Written by `make baseline`; do not edit.
__stability__ = Experimental

@Experimental
class Difference:
    recording: str
    episode: int
    env_index: int | None
    step: int
    part: Literal["observation", "reward", "terminated", "truncated", "info", "error"]
    path: str
    index: tuple[int, ...]
    recorded: str
    replayed: str
    ulps: int | None
    def to_dict(self) -> dict[str, Any]: ...
    def __init__(
        self,
        *,
        recording: str,
        episode: int,
        env_index: int | None,
        step: int,
        part: Literal["observation", "reward", "terminated", "truncated", "info", "error"],
        path: str,
        index: tuple[int, ...],
        recorded: str,
        replayed: str,
        ulps: int | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class ReplayedEpisode:
    recording: str
    number: int
    env_index: int | None
    seed: int | None
    seeded: bool
    steps: int
    difference: rlmesh.replaying.Difference | None
    lost_options: tuple[str, ...]
    def __init__(
        self,
        *,
        recording: str,
        number: int,
        env_index: int | None,
        seed: int | None,
        seeded: bool,
        steps: int,
        difference: rlmesh.replaying.Difference | None,
        lost_options: tuple[str, ...] = (),
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
