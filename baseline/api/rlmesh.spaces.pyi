# Written by `make baseline`; do not edit.
__stability__ = Stable

M = TypeVar("M", bound=google.protobuf.message.Message)

@Stable
class Space:
    kind: str
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

@Stable
class Box(rlmesh.spaces.Space):
    def __init__(
        self, low: Any, high: Any, shape: Any = None, dtype: numpy.typing.DTypeLike = "float32"
    ) -> None: ...
    @classmethod
    def from_arrays(
        cls,
        low: numpy.typing.NDArray[Any],
        high: numpy.typing.NDArray[Any],
        bounded_below: numpy.typing.NDArray[numpy.bool_],
        bounded_above: numpy.typing.NDArray[numpy.bool_],
    ) -> rlmesh.spaces.Box: ...
    kind: str = "box"
    dtype: rlmesh_api.contract.Dtype
    shape: tuple[int, ...]
    low: tuple[int | float, ...]
    high: tuple[int | float, ...]
    bounded_below: tuple[bool, ...]
    bounded_above: tuple[bool, ...]
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Stable
class Discrete(rlmesh.spaces.Space):
    shape: tuple[int, ...]
    def __init__(self, n: int, start: int = 0, dtype: numpy.typing.DTypeLike = "int64") -> None: ...
    kind: str = "discrete"
    n: int
    start: int | float
    dtype: rlmesh_api.contract.Dtype
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class MultiBinary(rlmesh.spaces.Space):
    dtype: rlmesh_api.contract.Dtype
    def __init__(self, n: Any) -> None: ...
    @property
    def n(self) -> int | tuple[int, ...]: ...
    kind: str = "multi_binary"
    shape: tuple[int, ...]
    flat: bool
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class MultiDiscrete(rlmesh.spaces.Space):
    def __init__(
        self, nvec: Any, dtype: numpy.typing.DTypeLike = "int64", start: Any = None
    ) -> None: ...
    kind: str = "multi_discrete"
    shape: tuple[int, ...]
    nvec: tuple[int, ...]
    start: tuple[int | float, ...]
    dtype: rlmesh_api.contract.Dtype
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class Text(rlmesh.spaces.Space):
    shape: None = None
    dtype: None = None
    def __init__(
        self, max_length: int, *, min_length: int = 1, charset: Iterable[str] | None = None
    ) -> None: ...
    kind: str = "text"
    min_length: int
    max_length: int
    charset: str | None
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Experimental
class Tuple(rlmesh.spaces.Space):
    shape: None = None
    dtype: None = None
    def __init__(self, spaces: Iterable[rlmesh.spaces.Space]) -> None: ...
    def __getitem__(self, index: int) -> rlmesh.spaces.Space: ...
    kind: str = "tuple"
    spaces: tuple[rlmesh.spaces.Space, ...]
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Stable
class Dict(rlmesh.spaces.Space):
    shape: None = None
    dtype: None = None
    def __init__(
        self,
        spaces: Mapping[str, rlmesh.spaces.Space] | Iterable[tuple[str, rlmesh.spaces.Space]],
        *,
        keep_order: bool | None = None,
    ) -> None: ...
    @property
    def spaces(self) -> dict[str, rlmesh.spaces.Space]: ...
    def __getitem__(self, key: str) -> rlmesh.spaces.Space: ...
    def __iter__(self) -> Iterator[str]: ...
    kind: str = "dict"
    entries: tuple[rlmesh_api.contract.DictEntry, ...]
    keep_order: bool
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@Stable
def from_gymnasium_space(space: object) -> rlmesh.spaces.Space: ...
@Stable
def to_gymnasium_space(space: rlmesh.spaces.Space) -> gymnasium.Space[Any]: ...
@Experimental
def register_conversion(space_type: type | str, convert: Callable[[Any], Any]) -> None: ...
