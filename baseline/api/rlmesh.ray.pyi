# Written by `make baseline`; do not edit.
__stability__ = Experimental

ActType = TypeVar("ActType", default=Any)
ObsType = TypeVar("ObsType", default=Any)

@Experimental
class Fleet(rlmesh.RemoteVectorEnv[ObsType, ActType]):
    def __init__(
        self,
        factory_or_id: str | gymnasium.envs.registration.EnvSpec | Callable[[], Any],
        *,
        size: int,
        sessions_per_server: int = 1,
        resources: Mapping[str, float] | None = None,
        placement: Literal["spread", "pack"] = "spread",
        runtime_env: dict[str, Any] | None = None,
        server_options: Mapping[str, Any] | None = None,
        start_timeout_seconds: float = 120.0,
        token: str | None = None,
        tls: rlmesh.ClientTLS | None = None,
        server_tls: rlmesh.ServerTLS | None = None,
        insecure: bool = False,
        on_loss: Literal["raise", "replace"] = "replace",
        connect_timeout_seconds: float = 60.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        autoreset: Literal["next_step", "same_step", "disabled"]
        | gymnasium.vector.AutoresetMode
        | None = None,
        expect: rlmesh.EnvContract | str | os.PathLike[str] | None = None,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
        render_mode: str | None = None,
        batch_size: int | None = None,
    ) -> None: ...
    closed: bool
    @property
    def addresses(self) -> tuple[str, ...]: ...
    def status(self) -> tuple[rlmesh.ray.ServerStatus, ...]: ...
    def scale(self, size: int) -> None: ...
    def close_extras(self, **kwargs: Any) -> None: ...

@Experimental
class Models:
    def __init__(
        self,
        model: Any,
        *,
        replicas: int,
        resources: Mapping[str, float] | None = None,
        placement: Literal["spread", "pack"] = "spread",
        runtime_env: dict[str, Any] | None = None,
        server_options: Mapping[str, Any] | None = None,
        start_timeout_seconds: float = 120.0,
        connect_timeout_seconds: float = 60.0,
        token: str | None = None,
        tls: rlmesh.ClientTLS | None = None,
        server_tls: rlmesh.ServerTLS | None = None,
        insecure: bool = False,
    ) -> None: ...
    @property
    def addresses(self) -> tuple[str, ...]: ...
    def client(self, **options: Any) -> rlmesh.RemoteModel[Any, Any]: ...
    def status(self) -> tuple[rlmesh.ray.ServerStatus, ...]: ...
    def scale(self, replicas: int) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...

@Experimental
class ServerStatus:
    node: str
    node_address: str
    pid: int
    address: str
    state: str
    steps: int
    restarts: int
    def __init__(
        self,
        *,
        node: str,
        node_address: str,
        pid: int,
        address: str,
        state: str,
        steps: int,
        restarts: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
