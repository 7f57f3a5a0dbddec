# Written by `make baseline`; do not edit.
__stability__ = Stable

M = TypeVar("M", bound=google.protobuf.message.Message)

@Stable
class AutoresetMode(enum.StrEnum):
    NEXT_STEP: str = "next_step"
    SAME_STEP: str = "same_step"
    DISABLED: str = "disabled"
    def to_proto(self) -> rlmesh_api.v1.contract_pb2.AutoresetMode.ValueType: ...
    @classmethod
    def from_proto(cls, value: int) -> rlmesh_api.contract.AutoresetMode: ...

@Stable
class DictEntry:
    key: str
    space: rlmesh.spaces.Space
    def __init__(self, *, key: str, space: rlmesh.spaces.Space) -> None: ...
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

@Stable
class Dtype(enum.StrEnum):
    BOOL: str = "bool"
    INT8: str = "int8"
    INT16: str = "int16"
    INT32: str = "int32"
    INT64: str = "int64"
    UINT8: str = "uint8"
    UINT16: str = "uint16"
    UINT32: str = "uint32"
    UINT64: str = "uint64"
    FLOAT16: str = "float16"
    FLOAT32: str = "float32"
    FLOAT64: str = "float64"
    def to_proto(self) -> rlmesh_api.v1.space_pb2.Dtype.ValueType: ...
    @classmethod
    def from_proto(cls, value: int) -> rlmesh_api.contract.Dtype: ...

@Stable
class EnvSpec:
    id: str
    reward_threshold: float | None
    nondeterministic: bool
    max_episode_steps: int | None
    order_enforce: bool
    disable_env_checker: bool
    kwargs: Mapping[str, Any]
    def __init__(
        self,
        *,
        id: str,
        reward_threshold: float | None = None,
        nondeterministic: bool = False,
        max_episode_steps: int | None = None,
        order_enforce: bool = False,
        disable_env_checker: bool = False,
        kwargs: Mapping[str, Any] = dict[str, Any](),
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
