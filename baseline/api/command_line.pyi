# Written by `make baseline`; do not edit.
__stability__ = Stable

@Experimental
def rlmesh(*, version: bool = False) -> int: ...
@Experimental
def rlmesh_serve(
    env: str,
    /,
    *,
    address: str = None,
    allow_remote_shutdown: bool = False,
    close_timeout_seconds: float = None,
    direct: str = None,
    drain_timeout_seconds: float = None,
    expose: str | list[str] = None,
    idle_timeout_seconds: float = None,
    import_: str | list[str] = None,
    insecure: bool = False,
    kwargs_json: str = "{}",
    lane: Literal["shm", "direct", "grpc"] | list[Literal["shm", "direct", "grpc"]] = None,
    num_envs: int = None,
    ready_fd: int = None,
    render_mode: str = None,
    validation: Literal["warn", "strict", "off"] = None,
    vectorization_mode: Literal["sync", "async"] = None,
    verbose: bool = False,
    v: bool = False,
) -> int: ...
@Experimental
def rlmesh_wait(address: str = None, /, *, timeout: float = 30.0) -> int: ...
@Experimental
def rlmesh_status(address: str = None, /, *, json: bool = False, timeout: float = 5.0) -> int: ...
@Experimental
def rlmesh_contract(address: str = None, /, *, json: bool = False, timeout: float = 5.0) -> int: ...
@Experimental
def rlmesh_demo(
    *,
    address: str = "tcp://127.0.0.1:0",
    env: str = "CartPole-v1",
    episodes: int = 100,
    import_: str | list[str] = None,
    kwargs_json: str = "{}",
    lane: Literal["shm", "direct", "grpc"] = None,
    max_steps: int = 10000,
    render_mode: str = None,
    seed: int = None,
    verbose: bool = False,
    v: bool = False,
) -> int: ...
@Stable
def python_m_rlmesh__cli_serve_env(
    *,
    address: str = None,
    allow_remote_shutdown: bool = False,
    close_timeout_seconds: float = None,
    direct: str = None,
    drain_timeout_seconds: float = None,
    env: str,
    expose: str | list[str] = None,
    idle_timeout_seconds: float = None,
    import_: str | list[str] = None,
    insecure: bool = False,
    kwargs_json: str = "{}",
    lane: Literal["shm", "direct", "grpc"] | list[Literal["shm", "direct", "grpc"]] = None,
    num_envs: int = None,
    ready_fd: int = None,
    render_mode: str = None,
    validation: Literal["warn", "strict", "off"] = None,
    vectorization_mode: Literal["sync", "async"] = None,
    verbose: bool = False,
    v: bool = False,
) -> int: ...
