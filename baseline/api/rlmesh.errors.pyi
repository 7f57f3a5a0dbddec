# Written by `make baseline`; do not edit.
__stability__ = Stable

@Stable
class RlmeshError(Exception):
    transitions: Experimental[Any]

@Stable
class InvalidAddressError(rlmesh.errors.RlmeshError, ValueError): ...

@Stable
class InvalidArgumentError(rlmesh.errors.RlmeshError, ValueError): ...

@Experimental
class UnexposedAttributeError(rlmesh.errors.InvalidArgumentError, AttributeError): ...

@Stable
class InvalidCredentialsError(rlmesh.errors.RlmeshError, ValueError): ...

@Stable
class ArgumentTypeError(rlmesh.errors.RlmeshError, TypeError): ...

@Stable
class InvalidEnvError(rlmesh.errors.RlmeshError, TypeError): ...

@Experimental
class InvalidModelError(rlmesh.errors.RlmeshError, TypeError): ...

@Stable
class UnsupportedSpaceError(rlmesh.errors.RlmeshError, TypeError): ...

@Stable
class WrongEndpointKindError(rlmesh.errors.RlmeshError, TypeError): ...

@Experimental
class ContractMismatchError(rlmesh.errors.RlmeshError, ValueError):
    def __init__(self, message: str, *, differences: tuple[Any, ...] = ()) -> None: ...
    differences: Any

@Stable
class NonconformingValueError(rlmesh.errors.RlmeshError, ValueError): ...

@Stable
class InvalidActionError(rlmesh.errors.NonconformingValueError):
    def __init__(self, message: str, *, remote_traceback: str = "") -> None: ...
    remote_traceback: Experimental[Any]

@Stable
class InvalidObservationError(rlmesh.errors.NonconformingValueError):
    def __init__(self, message: str, *, remote_traceback: str = "") -> None: ...
    remote_traceback: Any

@Experimental
class InvalidResultError(rlmesh.errors.NonconformingValueError):
    def __init__(self, message: str, *, remote_traceback: str = "") -> None: ...
    remote_traceback: Any

@Stable
class RemoteEnvError(rlmesh.errors.RlmeshError, RuntimeError):
    env_index: int | None
    def __init__(
        self,
        message: str,
        *,
        exception_type: str = "",
        exception_message: str = "",
        remote_traceback: str = "",
    ) -> None: ...
    exception_type: Any
    exception_message: Any
    remote_traceback: Any

@Experimental
class EnvCrashedError(rlmesh.errors.RemoteEnvError):
    env_indices: tuple[int, ...]

@Experimental
class RemoteModelError(rlmesh.errors.RlmeshError, RuntimeError):
    def __init__(
        self,
        message: str,
        *,
        exception_type: str = "",
        exception_message: str = "",
        remote_traceback: str = "",
    ) -> None: ...
    exception_type: Any
    exception_message: Any
    remote_traceback: Any

@Experimental
class ModelCrashedError(rlmesh.errors.RemoteModelError): ...

@Stable
class EndpointError(rlmesh.errors.RlmeshError, ConnectionError): ...

@Stable
class EndpointUnreachableError(rlmesh.errors.EndpointError):
    status: Experimental[Any]

@Stable
class EndpointBusyError(rlmesh.errors.EndpointError):
    def __init__(
        self,
        message: str,
        *,
        capacity: int = 0,
        holders: tuple[Any, ...] = (),
        queue_length: int = 0,
    ) -> None: ...
    capacity: Experimental[Any]
    holders: Experimental[Any]
    queue_length: Experimental[Any]

@Stable
class EndpointDrainingError(rlmesh.errors.EndpointError): ...

@Stable
class ConnectionLostError(rlmesh.errors.EndpointError): ...

@Experimental
class SessionLostError(rlmesh.errors.ConnectionLostError): ...

@Stable
class AddressInUseError(rlmesh.errors.EndpointError): ...

@Stable
class AccessDeniedError(rlmesh.errors.EndpointError, PermissionError): ...

@Stable
class AuthenticationError(rlmesh.errors.EndpointError, PermissionError): ...

@Stable
class TlsError(rlmesh.errors.EndpointError): ...

@Stable
class ProtocolError(rlmesh.errors.EndpointError): ...

@Stable
class CallTimeoutError(rlmesh.errors.RlmeshError, TimeoutError):
    status: Experimental[Any]

@Stable
class StateError(rlmesh.errors.RlmeshError, RuntimeError): ...

@Experimental
class SystemResourceError(rlmesh.errors.RlmeshError, OSError): ...
