# Written by `make baseline`; do not edit.
__stability__ = Experimental

ActType = TypeVar("ActType", default=Any)
ObsType = TypeVar("ObsType", default=Any)

Recorder = rlmesh.Recorder

@Experimental
class SingleRecorder(
    rlmesh.Recorder,
    gymnasium.Wrapper[ObsType, ActType, ObsType, ActType],
    Generic[ObsType, ActType],
):
    def __init__(
        self,
        env: gymnasium.Env[ObsType, ActType],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> None: ...
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]: ...
    def step(
        self, action: ActType
    ) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]: ...
    def close(self) -> None: ...

@Experimental
class VectorRecorder(rlmesh.Recorder, gymnasium.vector.VectorWrapper[Any, Any, Any, Any, Any]):
    def __init__(
        self,
        env: gymnasium.vector.VectorEnv[Any, Any, Any],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> None: ...
    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]: ...
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]: ...
    def close(self, **kwargs: Any) -> None: ...
