# Written by `make baseline`; do not edit.
__stability__ = Experimental

ActT = TypeVar("ActT")
ObsT = TypeVar("ObsT")

Recorder = rlmesh.Recorder

@Experimental
class SingleRecorder(
    rlmesh.Recorder, gymnasium.Wrapper[ObsT, ActT, ObsT, ActT], Generic[ObsT, ActT]
):
    def __init__(
        self,
        env: gymnasium.Env[ObsT, ActT],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> None: ...
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsT, dict[str, Any]]: ...
    def step(self, action: ActT) -> tuple[ObsT, SupportsFloat, bool, bool, dict[str, Any]]: ...
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
