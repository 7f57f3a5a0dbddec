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
        announce: str | os.PathLike[str] | None = None,
        health: str | int | None = None,
        metrics: str | int | None = None,
        view: str | int | None = None,
        sessions: int | None = None,
        isolation: Literal["process"] | None = None,
        nan: Literal["reject", "deliver"] = "reject",
        num_envs: int | None = None,
        workers: int | None = None,
        on_crash: Literal["raise", "replace"] | None = None,
        record: str | os.PathLike[str] | None = None,
        record_max_bytes: int | None = None,
        record_observations: Literal["all", "digest"] = "all",
    ) -> None: ...
    @property
    def env_contract(self) -> rlmesh.EnvContract: ...
    @property
    def spec(self) -> rlmesh.EnvContract: ...
    @property
    def address(self) -> str: ...
    @property
    def direct_address(self) -> str | None: ...
    @property
    def health_address(self) -> str | None: ...
    @property
    def metrics_address(self) -> str | None: ...
    @property
    def view_url(self) -> str | None: ...
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
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
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
    env_contract: rlmesh.EnvContract
    env_contracts: tuple[rlmesh.EnvContract, ...]
    num_envs: int
    single_observation_space: gymnasium.Space[Any]
    single_action_space: gymnasium.Space[Any]
    observation_space: gymnasium.Space[ObsType]
    action_space: gymnasium.Space[ActType]
    metadata: dict[str, Any]
    autoreset_mode: gymnasium.vector.AutoresetMode | None
    render_mode: str | None
    spec: gymnasium.envs.registration.EnvSpec | None
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
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
        num_envs: int | None = None,
        render_mode: str | None = None,
        batch_size: int | None = None,
        on_loss: Literal["raise", "replace"] = "raise",
    ) -> None: ...
    closed: bool
    @property
    def np_random_seed(self) -> tuple[int, ...]: ...
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
    def step_async(self, actions: ActType) -> None: ...
    @Experimental
    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[
        ObsType,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.bool_],
        numpy.typing.NDArray[numpy.bool_],
        dict[str, Any],
    ]: ...
    @Experimental
    def send(
        self, actions: ActType, env_ids: Sequence[int] | numpy.typing.NDArray[Any] | None = None
    ) -> None: ...
    @Experimental
    def recv(
        self, timeout: float | None = None
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

@Experimental
class RemoteParallelEnv(pettingzoo.ParallelEnv[str, Any, Any]):
    expected_contract: rlmesh.EnvContract | None = None
    agents: list[str]
    possible_agents: list[str]
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
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
        render_mode: str | None = None,
    ) -> None: ...
    env_contract: rlmesh.EnvContract
    metadata: dict[str, Any]
    render_mode: str | None
    observation_spaces: dict[str, gymnasium.Space[Any]]
    action_spaces: dict[str, gymnasium.Space[Any]]
    @property
    def transport(self) -> str: ...
    def observation_space(self, agent: str) -> gymnasium.Space[Any]: ...
    def action_space(self, agent: str) -> gymnasium.Space[Any]: ...
    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]: ...
    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]
    ]: ...
    def state(self) -> Any: ...
    def stats(self) -> dict[str, rlmesh.CallStats]: ...
    @property
    def notices(self) -> tuple[dict[str, Any], ...]: ...
    def render(self) -> Any: ...
    def close(self) -> None: ...
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
    agents: Experimental[rlmesh_api.contract.Agents | None]
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
        agents: rlmesh_api.contract.Agents | None = None,
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
    old: rlmesh.EnvContract | rlmesh.ModelContract, new: rlmesh.EnvContract | rlmesh.ModelContract
) -> tuple[rlmesh.ContractDifference, ...]: ...

@Experimental
class ModelWorker:
    def __init__(
        self,
        model: Any,
        address: str | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        path: str | os.PathLike[str] | None = None,
        observation_space: Any = None,
        action_space: Any = None,
        options: rlmesh.ServeOptions | None = None,
        validation: Literal["warn", "strict", "off"] | None = None,
        token: str | None = None,
        tls: rlmesh.ServerTLS | None = None,
        insecure: bool = False,
        transports: Collection[Literal["shm", "direct", "grpc"]] | None = None,
        direct: str | int | None = None,
        announce: str | os.PathLike[str] | None = None,
        health: str | int | None = None,
        metrics: str | int | None = None,
        view: str | int | None = None,
        openpi: str | int | None = None,
        sessions: int = 64,
        max_batch_size: int | None = None,
        batch_wait_seconds: float = 0.0,
        queue_limit: int | None = None,
        warmup: bool = True,
        isolation: Literal["process"] | None = None,
    ) -> None: ...
    @property
    def openpi_address(self) -> str | None: ...
    @property
    def model_contracts(self) -> Mapping[str, rlmesh.ModelContract]: ...
    @property
    def model_contract(self) -> rlmesh.ModelContract: ...
    def serve(self) -> None: ...
    def start(self) -> None: ...
    def reload(self, model: Any, name: str | None = None) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def direct_address(self) -> str | None: ...
    @property
    def health_address(self) -> str | None: ...
    @property
    def metrics_address(self) -> str | None: ...
    @property
    def view_url(self) -> str | None: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def shutdown(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...

@Experimental
class ModelContext:
    def __init__(
        self, seed: int | None = None, options: dict[str, Any] | None = None, place: int = 0
    ) -> None: ...
    state: Any
    seed: int | None
    options: dict[str, Any] | None
    index: int
    prefix: Any
    delay: int
    @property
    def rng(self) -> numpy.random.Generator: ...

@Experimental
class RemoteModel(Generic[ObsType, ActType]):
    expected_contract: rlmesh.ModelContract | None = None
    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        expect: rlmesh.ModelContract | str | os.PathLike[str] | None = None,
        env: rlmesh.EnvContract | Any = None,
        steps: rlmesh.adapters.Adaptation | Sequence[rlmesh.adapters.AdapterStep] | None = None,
        connect_timeout_seconds: float | None = 10.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        token: str | None = None,
        tls: rlmesh.ClientTLS | None = None,
        insecure: bool = False,
        busy_timeout_seconds: float | None = 0.0,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
    ) -> None: ...
    model_contract: rlmesh.ModelContract
    adapter: rlmesh.Adapter | None
    @property
    def observation_space(self) -> rlmesh.spaces.Space: ...
    @property
    def action_space(self) -> rlmesh.spaces.Space: ...
    @property
    def transport(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def notices(self) -> tuple[dict[str, Any], ...]: ...
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None: ...
    def predict(self, observation: ObsType) -> ActType: ...
    def __call__(self, observation: ObsType) -> ActType: ...
    def predict_chunk(self, observation: ObsType, *, prefix: Any = None, delay: int = 0) -> Any: ...
    def predict_batch(self, observations: Any) -> Any: ...
    def predict_chunk_batch(self, observations: Any) -> Any: ...
    def post(
        self, observation: ObsType, *, chunk: bool = False, prefix: Any = None, delay: int = 0
    ) -> None: ...
    def take(self) -> Any: ...
    def stats(self) -> dict[str, rlmesh.PredictionStats]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...
    def __reduce_ex__(self, protocol: object) -> NoReturn: ...

@Experimental
class ModelContract:
    id: str
    observation_space: rlmesh.spaces.Space
    action_space: rlmesh.spaces.Space
    horizon: int
    keeps_state: bool
    max_batch_size: int | None
    metadata: Mapping[str, Any]
    adaptation: rlmesh.adapters.Adaptation | None
    takes_prefix: bool
    takes_delay: bool
    def __init__(
        self,
        *,
        id: str,
        observation_space: rlmesh.spaces.Space,
        action_space: rlmesh.spaces.Space,
        horizon: int,
        keeps_state: bool = False,
        max_batch_size: int | None = None,
        metadata: Mapping[str, Any] = dict[str, Any](),
        adaptation: rlmesh.adapters.Adaptation | None = None,
        takes_prefix: bool = False,
        takes_delay: bool = False,
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
def adapt(model_contract: Any, env_contract: Any, steps: Any = None) -> rlmesh.Adapter: ...

@Experimental
class Adapter:
    def __init__(
        self,
        model: tuple[rlmesh.spaces.Space, rlmesh.spaces.Space],
        env: tuple[rlmesh.spaces.Space, rlmesh.spaces.Space],
        steps: Sequence[rlmesh.adapters.AdapterStep],
    ) -> None: ...
    steps: tuple[rlmesh.adapters.AdapterStep, ...]
    adaptation: rlmesh.adapters.Adaptation
    model_observation_space: rlmesh.spaces.Space
    model_action_space: rlmesh.spaces.Space
    env_observation_space: rlmesh.spaces.Space
    env_action_space: rlmesh.spaces.Space
    differences: tuple[rlmesh.ContractDifference, ...]
    sides: tuple[Literal["client", "worker"], ...] | None
    remembers: bool
    adapts_actions: bool
    observation_space: rlmesh.spaces.Space
    action_space: rlmesh.spaces.Space
    def history(self) -> rlmesh.adapters.History: ...
    def observation(self, value: Any, history: rlmesh.adapters.History | None = None) -> Any: ...
    def action(self, value: Any) -> Any: ...
    def halves(
        self, names: Collection[str] | None = None
    ) -> tuple[rlmesh.Adapter, rlmesh.Adapter]: ...
    def wrap(self, model: Any) -> Any: ...
    def explain(self) -> None: ...

@Experimental
class Chunks:
    def __init__(
        self,
        model: Any,
        execute: int | None = None,
        prefetch: int | Literal["auto"] = 0,
        blend: Literal["latest", "average"] | Callable[[Sequence[Any]], Any] = "latest",
    ) -> None: ...
    model: Any
    horizon: int
    execute: int
    @property
    def prefetch(self) -> int: ...
    def reset(self, seed: int | None = None) -> None: ...
    def act(self, observation: Any) -> Any: ...
    def stats(self) -> rlmesh.ChunkStats: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...

@Experimental
class ChunkStats:
    asked: int
    executed: int
    dropped: int
    queued: int
    waited_seconds: float
    inference_seconds: float
    @property
    def hidden(self) -> float: ...
    def __init__(
        self,
        *,
        asked: int,
        executed: int,
        dropped: int,
        queued: int,
        waited_seconds: float,
        inference_seconds: float,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
def evaluate(
    policy: Any,
    envs: Any,
    *,
    seeds: Iterable[int] | None = None,
    episodes: int | None = None,
    workers: int | None = None,
    success: Literal["end", "any"] | Callable[[Mapping[str, Any]], bool | None] = "end",
    max_steps: int | None = None,
    latency: Literal["frozen", "measured"] | float = "frozen",
    record: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    on_episode: Callable[[rlmesh.evaluation.Episode], None] | None = None,
) -> rlmesh.Evaluation: ...

@Experimental
class Evaluation:
    policy: str
    latency: str | float
    episodes: tuple[rlmesh.evaluation.Episode, ...]
    contracts: tuple[rlmesh.evaluation.Identity, ...]
    versions: Mapping[str, str]
    @property
    def tasks(self) -> tuple[str, ...]: ...
    def summary(self, task: str | None = None) -> rlmesh.evaluation.Summary: ...
    def table(self) -> rich.table.Table: ...
    def plot(self, path: str | os.PathLike[str]) -> None: ...
    def to_json(self, path: str | os.PathLike[str]) -> None: ...
    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> rlmesh.Evaluation: ...
    def to_csv(self, path: str | os.PathLike[str]) -> None: ...
    def to_pandas(self) -> Any: ...
    def __init__(
        self,
        *,
        policy: str,
        latency: str | float,
        episodes: tuple[rlmesh.evaluation.Episode, ...],
        contracts: tuple[rlmesh.evaluation.Identity, ...] = (),
        versions: Mapping[str, str] = dict[str, str](),
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
def compare(a: rlmesh.Evaluation, b: rlmesh.Evaluation) -> rlmesh.Comparison: ...

@Experimental
class Comparison:
    a: str
    b: str
    pairs: int
    unpaired: int
    return_difference: float
    return_interval: rlmesh.evaluation.Interval
    return_p: float
    judged: int
    only_a: int
    only_b: int
    success_p: float | None
    remarks: tuple[str, ...]
    def __init__(
        self,
        *,
        a: str,
        b: str,
        pairs: int,
        unpaired: int,
        return_difference: float,
        return_interval: rlmesh.evaluation.Interval,
        return_p: float,
        judged: int,
        only_a: int,
        only_b: int,
        success_p: float | None,
        remarks: tuple[str, ...] = (),
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class Recorder:
    @overload
    def __new__(
        cls,
        env: gymnasium.vector.VectorEnv[Any, Any, Any],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> rlmesh.recording.recorder.VectorRecorder: ...
    @overload
    def __new__(
        cls,
        env: gymnasium.Env[ObsType, ActType],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> rlmesh.recording.recorder.SingleRecorder[ObsType, ActType]: ...
    def __init__(
        self,
        env: Any,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> None: ...
    @property
    def env_contract(self) -> rlmesh.EnvContract: ...
    def flush(self) -> None: ...
    def end(self) -> None: ...

@Experimental
def replay(
    path: str | os.PathLike[str],
    env_or_address: Any,
    *,
    tolerance: float | None = None,
    ignore: Collection[str] = (),
) -> rlmesh.Replay: ...

@Experimental
class Replay:
    contract_differences: tuple[rlmesh.ContractDifference, ...]
    refused: str | None
    episodes: tuple[rlmesh.replaying.ReplayedEpisode, ...]
    ignored: tuple[str, ...]
    damages: tuple[str, ...]
    skipped_steps: int
    tolerance: float | None
    @property
    def same(self) -> bool: ...
    @property
    def difference(self) -> rlmesh.replaying.Difference | None: ...
    def to_dict(self) -> dict[str, Any]: ...
    def __init__(
        self,
        *,
        contract_differences: tuple[rlmesh.ContractDifference, ...],
        refused: str | None,
        episodes: tuple[rlmesh.replaying.ReplayedEpisode, ...],
        ignored: tuple[str, ...],
        damages: tuple[str, ...],
        skipped_steps: int,
        tolerance: float | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class PredictionStats:
    count: int
    model_seconds: float
    queue_seconds: float
    mean_batch_size: float
    serving_seconds: float
    encoding_seconds: float
    decoding_seconds: float
    crossing_seconds: float
    sent_bytes: int
    received_bytes: int
    def __init__(
        self,
        count: int,
        model_seconds: float,
        queue_seconds: float,
        mean_batch_size: float,
        serving_seconds: float,
        encoding_seconds: float,
        decoding_seconds: float,
        crossing_seconds: float,
        sent_bytes: int,
        received_bytes: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class Transitions(NamedTuple):
    observations: Any
    rewards: numpy.typing.NDArray[numpy.float64]
    terminations: numpy.typing.NDArray[numpy.bool_]
    truncations: numpy.typing.NDArray[numpy.bool_]
    infos: list[dict[str, Any]]
    __match_args__ = ("observations", "rewards", "terminations", "truncations", "infos")

@Experimental
class ParallelVectorEnv(
    gymnasium.vector.VectorEnv[ObsType, ActType, numpy.typing.NDArray[Any]],
    Generic[ObsType, ActType],
):
    def __init__(
        self,
        factories: Sequence[Callable[[], Any]],
        workers: int,
        *,
        autoreset_mode: str | gymnasium.vector.AutoresetMode = "next_step",
        copy: bool = True,
        on_crash: Literal["raise", "replace"] = "raise",
        batch_size: int | None = None,
    ) -> None: ...
    closed: bool
    num_envs: int
    batch_size: int
    copy: bool
    on_crash: Literal["raise", "replace"]
    single_observation_space: gymnasium.Space[Any]
    single_action_space: gymnasium.Space[Any]
    observation_space: gymnasium.Space[ObsType]
    action_space: gymnasium.Space[ActType]
    metadata: dict[str, Any]
    render_mode: str | None
    spec: gymnasium.envs.registration.EnvSpec | None
    @property
    def autoreset_mode(self) -> gymnasium.vector.AutoresetMode: ...
    @autoreset_mode.setter
    def autoreset_mode(self, value: Any) -> None: ...
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
    def step_async(self, actions: ActType) -> None: ...
    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[
        ObsType,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.bool_],
        numpy.typing.NDArray[numpy.bool_],
        dict[str, Any],
    ]: ...
    def send(
        self, actions: ActType, env_ids: Sequence[int] | numpy.typing.NDArray[Any] | None = None
    ) -> None: ...
    def recv(
        self, timeout: float | None = None
    ) -> tuple[
        Any,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.bool_],
        numpy.typing.NDArray[numpy.bool_],
        dict[str, Any],
    ]: ...
    def render(self) -> tuple[Any, ...] | None: ...
    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]: ...
    def get_attr(self, name: str) -> tuple[Any, ...]: ...
    def set_attr(self, name: str, values: Any) -> None: ...
    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...

@Experimental
def make_vec(
    env: str
    | gymnasium.envs.registration.EnvSpec
    | Callable[[], Any]
    | Sequence[Callable[[], Any]],
    num_envs: int | None = None,
    *,
    workers: int | None = None,
    wrappers: Sequence[Callable[[Any], Any]] | None = None,
    autoreset_mode: Literal["next_step", "same_step", "disabled"]
    | gymnasium.vector.AutoresetMode = "next_step",
    copy: bool = True,
    on_crash: Literal["raise", "replace"] = "raise",
    batch_size: int | None = None,
    **env_kwargs: Any,
) -> rlmesh.ParallelVectorEnv[Any, Any]: ...

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
