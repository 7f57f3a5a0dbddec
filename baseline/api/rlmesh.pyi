# Written by `make baseline`; do not edit.
__stability__ = Stable

ActType = TypeVar("ActType", default=Any)
M = TypeVar("M", bound=google.protobuf.message.Message)
ObsType = TypeVar("ObsType", default=Any)

@Stable
class EnvServer:
    def __init__(
        self,
        env: Any,
        address: str | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        path: str | os.PathLike[str] | None = None,
        options: rlmesh.ServeOptions | None = None,
        validation: Literal["warn", "strict", "off"] | None = None,
        expose: Collection[str] = (),
        token: str | None = None,
        tls: rlmesh.ServerTLS | None = None,
        insecure: bool = False,
        transports: Collection[Literal["shm", "direct", "grpc"]] | None = None,
        direct: str | int | None = None,
        sessions: int | None = None,
        isolation: Literal["process"] | None = None,
        nan: Literal["reject", "deliver"] = "reject",
    ) -> None: ...
    @property
    def address(self) -> str: ...
    @property
    def direct_address(self) -> str | None: ...
    @property
    def env_contract(self) -> rlmesh.EnvContract: ...
    @property
    def spec(self) -> rlmesh.EnvContract: ...
    def serve(self) -> None: ...
    def start(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def shutdown(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...

@Stable
class ServeOptions:
    allow_remote_shutdown: bool
    idle_timeout_seconds: float | None
    drain_timeout_seconds: float | None
    close_timeout_seconds: float | None
    resume_timeout_seconds: float
    session_idle_timeout_seconds: float | None
    call_timeout_seconds: float | None
    def __init__(
        self,
        *,
        allow_remote_shutdown: bool = False,
        idle_timeout_seconds: float | None = None,
        drain_timeout_seconds: float | None = None,
        close_timeout_seconds: float | None = None,
        resume_timeout_seconds: float = 10.0,
        session_idle_timeout_seconds: float | None = None,
        call_timeout_seconds: float | None = None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Stable
class RemoteEnv(gymnasium.Env[ObsType, ActType], Generic[ObsType, ActType]):
    metadata: dict[str, Any]
    expected_contract: rlmesh.EnvContract | None = None
    def __init__(
        self,
        address: str,
        *,
        connect_timeout_seconds: float | None = 10.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        token: str | None = None,
        tls: rlmesh.ClientTLS | None = None,
        insecure: bool = False,
        expect: rlmesh.EnvContract | str | os.PathLike[str] | None = None,
        busy_timeout_seconds: float | None = 0.0,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
        render_mode: str | None = None,
    ) -> None: ...
    env_contract: rlmesh.EnvContract
    observation_space: gymnasium.Space[ObsType]
    action_space: gymnasium.Space[ActType]
    render_mode: str | None
    spec: gymnasium.envs.registration.EnvSpec | None
    @property
    def transport(self) -> str: ...
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]: ...
    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]: ...
    @Experimental
    def step_many(self, actions: Iterable[ActType]) -> rlmesh.Transitions: ...
    @Experimental
    def stats(self) -> dict[str, rlmesh.CallStats]: ...
    @Experimental
    @property
    def notices(self) -> tuple[dict[str, Any], ...]: ...
    def render(self) -> Any: ...
    def has_wrapper_attr(self, name: str) -> bool: ...
    def get_wrapper_attr(self, name: str) -> Any: ...
    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool: ...
    def close(self) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def __reduce_ex__(self, protocol: object) -> NoReturn: ...

@Stable
class RemoteVectorEnv(
    gymnasium.vector.VectorEnv[ObsType, ActType, numpy.typing.NDArray[Any]],
    Generic[ObsType, ActType],
):
    expected_contract: rlmesh.EnvContract | None = None
    def __init__(
        self,
        address: str | Sequence[str],
        *,
        connect_timeout_seconds: float | None = 10.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        token: str | None = None,
        tls: rlmesh.ClientTLS | None = None,
        insecure: bool = False,
        autoreset: Literal["next_step", "same_step", "disabled"]
        | gymnasium.vector.AutoresetMode
        | None = None,
        expect: rlmesh.EnvContract | str | os.PathLike[str] | None = None,
        busy_timeout_seconds: float | None = 0.0,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
    ) -> None: ...
    closed: bool
    env_contract: rlmesh.EnvContract
    env_contracts: tuple[rlmesh.EnvContract, ...]
    num_envs: int
    single_observation_space: gymnasium.Space[Any]
    single_action_space: gymnasium.Space[Any]
    observation_space: gymnasium.Space[ObsType]
    action_space: gymnasium.Space[ActType]
    metadata: dict[str, Any]
    render_mode: str | None
    spec: gymnasium.envs.registration.EnvSpec | None
    @property
    def transport(self) -> str: ...
    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | numpy.typing.NDArray[Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]: ...
    def step(
        self, actions: ActType
    ) -> tuple[
        ObsType,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.bool_],
        numpy.typing.NDArray[numpy.bool_],
        dict[str, Any],
    ]: ...
    @Experimental
    def step_many(self, actions: Iterable[ActType]) -> rlmesh.Transitions: ...
    @Experimental
    def stats(self) -> dict[str, rlmesh.CallStats]: ...
    def render(self) -> Any: ...
    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]: ...
    def get_attr(self, name: str) -> tuple[Any, ...]: ...
    def set_attr(self, name: str, values: Any) -> None: ...
    def close_extras(self, **kwargs: Any) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def __reduce_ex__(self, protocol: object) -> NoReturn: ...

@Stable
class ServerTLS:
    certificate: str | os.PathLike[str]
    key: str | os.PathLike[str]
    client_ca: str | os.PathLike[str] | None
    def __init__(
        self,
        *,
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str],
        client_ca: str | os.PathLike[str] | None = None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Stable
class ClientTLS:
    ca: str | os.PathLike[str] | None
    certificate: str | os.PathLike[str] | None
    key: str | os.PathLike[str] | None
    server_name: str | None
    def __init__(
        self,
        *,
        ca: str | os.PathLike[str] | None = None,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        server_name: str | None = None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Stable
class EnvContract:
    id: str
    vector: bool
    observation_space: rlmesh.spaces.Space
    action_space: rlmesh.spaces.Space
    num_envs: int
    autoreset_mode: rlmesh_api.contract.AutoresetMode | None
    render_mode: str | None
    metadata: Mapping[str, Any]
    spec: rlmesh_api.contract.EnvSpec | None
    batched_observation_space: rlmesh.spaces.Space | None
    batched_action_space: rlmesh.spaces.Space | None
    delivers_nan: Experimental[bool]
    def __init__(
        self,
        *,
        id: str,
        vector: bool = False,
        observation_space: rlmesh.spaces.Space,
        action_space: rlmesh.spaces.Space,
        num_envs: int,
        autoreset_mode: rlmesh_api.contract.AutoresetMode | None = None,
        render_mode: str | None = None,
        metadata: Mapping[str, Any] = dict[str, Any](),
        spec: rlmesh_api.contract.EnvSpec | None = None,
        batched_observation_space: rlmesh.spaces.Space | None = None,
        batched_action_space: rlmesh.spaces.Space | None = None,
        delivers_nan: bool = False,
    ) -> None: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self: ...
    def to_json(self) -> str: ...
    @classmethod
    def from_json(cls, text: str | bytes) -> Self: ...
    @property
    def fingerprint(self) -> str: ...
    def to_proto(self) -> M: ...
    @classmethod
    def from_proto(cls, message: M) -> Self: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class ContractDifference:
    place: str
    aspect: str
    old: str
    new: str
    breaking: bool
    def to_dict(self) -> dict[str, Any]: ...
    def __init__(self, *, place: str, aspect: str, old: str, new: str, breaking: bool) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
def compare_contracts(
    old: rlmesh.EnvContract, new: rlmesh.EnvContract
) -> tuple[rlmesh.ContractDifference, ...]: ...

@Experimental
class Transitions(NamedTuple):
    observations: Any
    rewards: numpy.typing.NDArray[numpy.float64]
    terminations: numpy.typing.NDArray[numpy.bool_]
    truncations: numpy.typing.NDArray[numpy.bool_]
    infos: list[dict[str, Any]]
    __match_args__ = ("observations", "rewards", "terminations", "truncations", "infos")

@Experimental
class CallStats:
    count: int
    environment_seconds: float
    serving_seconds: float
    encoding_seconds: float
    decoding_seconds: float
    crossing_seconds: float
    sent_bytes: int
    received_bytes: int
    def __init__(
        self,
        count: int,
        environment_seconds: float,
        serving_seconds: float,
        encoding_seconds: float,
        decoding_seconds: float,
        crossing_seconds: float,
        sent_bytes: int,
        received_bytes: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

RlmeshError = rlmesh.errors.RlmeshError

__version__: Stable[str]

errors = rlmesh.errors

spaces = rlmesh.spaces
