# Written by `make baseline`; do not edit.
__stability__ = Experimental

M = TypeVar("M", bound=google.protobuf.message.Message)

@Experimental
class Adaptation:
    steps: tuple[rlmesh.adapters.AdapterStep, ...]
    def __init__(self, *, steps: tuple[rlmesh.adapters.AdapterStep, ...]) -> None: ...
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
class AdapterStep:
    name: str
    on: rlmesh_api.contract.AdapterFlow
    at: tuple[str, ...]
    operation: rlmesh_api.contract.AdapterOperation
    def __init__(
        self,
        *,
        name: str,
        on: rlmesh_api.contract.AdapterFlow,
        at: tuple[str, ...],
        operation: rlmesh_api.contract.AdapterOperation,
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
class History:
    def __init__(
        self,
        owner: object,
        frames: Mapping[int, tuple[numpy.typing.NDArray[Any], ...]] | None = None,
    ) -> None: ...
    def clear(self) -> None: ...
    def copy(self) -> rlmesh.adapters.History: ...
    def is_of(self, owner: object) -> bool: ...
    @property
    def frames(self) -> Mapping[int, tuple[numpy.typing.NDArray[Any], ...]]: ...
    def remember(self, frames: Mapping[int, tuple[numpy.typing.NDArray[Any], ...]]) -> None: ...

@Experimental
def rename(
    names: Mapping[str, str],
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def select(
    keys: Iterable[str],
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def extract(
    key: str,
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def frame_stack(
    frames: int,
    *,
    axis: int | None = None,
    padding: Literal["first", "zero"] = "first",
    at: str | int | Sequence[str | int] = "",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def wrap(
    key: str,
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def concatenate(
    keys: Iterable[str],
    into: str | None = None,
    *,
    axis: int = -1,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def split(
    parts: Mapping[str, int],
    key: str | None = None,
    *,
    axis: int = -1,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def stack(
    keys: Iterable[str],
    into: str | None = None,
    *,
    axis: int,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def text(
    template: str,
    into: str,
    *,
    lower: bool = False,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def take(
    indices: Iterable[int],
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def reshape(
    shape: Iterable[int],
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def cast(
    dtype: numpy.typing.DTypeLike,
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def scale(
    factor: Any = 1.0,
    offset: Any = 0.0,
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def normalize(
    mean: Any,
    deviation: Any,
    *,
    epsilon: float = 0.0,
    inverse: bool = False,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def normalize_quantiles(
    low: Any,
    high: Any,
    *,
    epsilon: float = 0.0,
    inverse: bool = False,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def rotation(
    source: str,
    target: str,
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def gripper(
    *,
    open: tuple[float, float],
    closed: tuple[float, float],
    indices: Iterable[int] = (),
    threshold: float | None = None,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def clip(
    low: Any,
    high: Any,
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def resize(
    height: int,
    width: int,
    *,
    method: str = "bilinear",
    fit: str = "stretch",
    fill: float = 0.0,
    layout: str = "hwc",
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def crop(
    height: int,
    width: int,
    *,
    top: int | None = None,
    left: int | None = None,
    layout: str = "hwc",
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def pad(
    *,
    top: int = 0,
    bottom: int = 0,
    left: int = 0,
    right: int = 0,
    value: float = 0.0,
    layout: str = "hwc",
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def channel_order(
    source: str,
    target: str,
    *,
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...
@Experimental
def color(
    source: str,
    target: str,
    *,
    layout: str = "hwc",
    at: str | int | Sequence[str | int] = "",
    on: Literal["observation", "action"] = "observation",
) -> rlmesh.adapters.AdapterStep: ...

Adapter = rlmesh.Adapter

adapt = rlmesh.adapt
