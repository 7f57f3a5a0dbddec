# Written by `make baseline`; do not edit.
__stability__ = Experimental

@Experimental
class VecEnv(stable_baselines3.common.vec_env.VecEnv):
    def __init__(
        self,
        address_or_client: str
        | Sequence[str]
        | rlmesh.RemoteEnv[Any, Any]
        | rlmesh.RemoteVectorEnv[Any, Any],
        **options: Any,
    ) -> None: ...
    metadata: dict[str, Any]
    def reset(self) -> Any: ...
    def step_async(self, actions: numpy.typing.NDArray[Any]) -> None: ...
    def step_wait(
        self,
    ) -> tuple[
        Any, numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool_], list[Any]
    ]: ...
    def close(self) -> None: ...
    def get_images(self) -> Sequence[numpy.typing.NDArray[Any] | None]: ...
    def has_attr(self, attr_name: str) -> bool: ...
    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]: ...
    def set_attr(
        self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None
    ) -> None: ...
    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]: ...
    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: int | Iterable[int] | None = None,
    ) -> list[bool]: ...
