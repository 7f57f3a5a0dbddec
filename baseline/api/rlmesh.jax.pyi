# Written by `make baseline`; do not edit.
__stability__ = Experimental

ActType = TypeVar("ActType", default=Any)
ObsType = TypeVar("ObsType", default=Any)

@Experimental
class Model:
    keeps_state: bool = False
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
    ) -> None: ...
    observation_space: Any
    action_space: Any
    horizon: int | None
    predict_batch: Callable[[Any], Any]
    predict_chunk_batch: Callable[[Any], Any]
    def warmup(self) -> None: ...

@Experimental
class RemoteEnv(rlmesh.RemoteEnv[ObsType, ActType], Generic[ObsType, ActType]):
    def __init__(
        self, address: str, *, device: Any = None, narrow: bool = False, **options: Any
    ) -> None: ...
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]: ...
    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]: ...
    def step_many(self, actions: Iterable[ActType]) -> rlmesh.Transitions: ...

@Experimental
class RemoteVectorEnv(rlmesh.RemoteVectorEnv[ObsType, ActType], Generic[ObsType, ActType]):
    def __init__(
        self,
        address: str | Sequence[str],
        *,
        device: Any = None,
        narrow: bool = False,
        **options: Any,
    ) -> None: ...
    closed: bool
    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | numpy.typing.NDArray[Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]: ...
    def step(self, actions: ActType) -> tuple[ObsType, Any, Any, Any, dict[str, Any]]: ...
    def step_async(self, actions: ActType) -> None: ...
    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[ObsType, Any, Any, Any, dict[str, Any]]: ...
    def send(
        self, actions: ActType, env_ids: Sequence[int] | numpy.typing.NDArray[Any] | None = None
    ) -> None: ...
    def recv(
        self, timeout: float | None = None
    ) -> tuple[ObsType, Any, Any, Any, dict[str, Any]]: ...
    def step_many(self, actions: Iterable[ActType]) -> rlmesh.Transitions: ...
