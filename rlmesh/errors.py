"""The one tree of errors that RLMesh raises.

    RlmeshError
    ├── InvalidAddressError       ValueError        an address, host, port or path
    ├── InvalidArgumentError      ValueError        a seed, an option, a timeout, a setting
    │   └── UnexposedAttributeError   AttributeError    an attribute that no client may use
    ├── InvalidCredentialsError   ValueError        a token, certificate or key that is given
    ├── ArgumentTypeError         TypeError         an argument of another type than allowed
    ├── InvalidEnvError           TypeError         an object that is no environment
    ├── InvalidModelError         TypeError         an object that is no model
    ├── UnsupportedSpaceError     TypeError         a space that RLMesh does not carry
    ├── WrongEndpointKindError    TypeError         a client of another kind than the endpoint
    ├── ContractMismatchError     ValueError        an endpoint that is not what was expected
    ├── NonconformingValueError   ValueError        a value that its space does not hold
    │   ├── InvalidActionError                      ... an action
    │   ├── InvalidObservationError                 ... an observation
    │   └── InvalidResultError                      ... a reward, a flag, an info, a length
    ├── RemoteEnvError            RuntimeError      an exception of the environment
    │   └── EnvCrashedError                              ... its process has died
    ├── RemoteModelError          RuntimeError      an exception of the model
    │   └── ModelCrashedError                            ... its process has died
    ├── EndpointError             ConnectionError   the endpoint, not the environment
    │   ├── EndpointUnreachableError                no server answers at the address
    │   ├── EndpointBusyError                       another client holds the environment
    │   ├── EndpointDrainingError                   the server is shutting down
    │   ├── ConnectionLostError                     the connection broke in the middle
    │   │   └── SessionLostError                    ... and the episode is gone
    │   ├── AddressInUseError                       another program serves at that address
    │   ├── AccessDeniedError     PermissionError   the server does not allow this client that
    │   ├── AuthenticationError   PermissionError   the token or certificate is not accepted
    │   ├── TlsError                                no trusted connection can be made
    │   └── ProtocolError                           the peer does not speak as it should
    ├── CallTimeoutError          TimeoutError      a deadline passed without an answer
    ├── SystemResourceError       OSError           the system has no descriptor or memory left
    └── StateError                RuntimeError      the object is closed, or needs a reset first

Every message names the thing, what was expected, what came, and the next step.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessDeniedError",
    "AddressInUseError",
    "ArgumentTypeError",
    "AuthenticationError",
    "CallTimeoutError",
    "ConnectionLostError",
    "ContractMismatchError",
    "EndpointBusyError",
    "EndpointDrainingError",
    "EndpointError",
    "EndpointUnreachableError",
    "EnvCrashedError",
    "InvalidActionError",
    "InvalidAddressError",
    "InvalidArgumentError",
    "InvalidCredentialsError",
    "InvalidEnvError",
    "InvalidModelError",
    "InvalidObservationError",
    "InvalidResultError",
    "ModelCrashedError",
    "NonconformingValueError",
    "ProtocolError",
    "RemoteEnvError",
    "RemoteModelError",
    "RlmeshError",
    "SessionLostError",
    "StateError",
    "SystemResourceError",
    "TlsError",
    "UnexposedAttributeError",
    "UnsupportedSpaceError",
    "WrongEndpointKindError",
]


class RlmeshError(Exception):
    """The root: every error that RLMesh raises on purpose is one of these.

    Attributes:
        transitions: What `step_many` had done before the step that failed; None where that was the
            first one, and for every other call.
    """

    transitions: Any = None


class InvalidAddressError(RlmeshError, ValueError):
    """An address, host, port or path that names no endpoint."""


class InvalidArgumentError(RlmeshError, ValueError):
    """A seed, option, timeout or setting that is not allowed."""


class UnexposedAttributeError(InvalidArgumentError, AttributeError):
    """An attribute of the environment that the server does not expose to its clients."""


class InvalidCredentialsError(RlmeshError, ValueError):
    """A token, certificate or key that cannot be used, or not safely. Messages show no secret."""


class ArgumentTypeError(RlmeshError, TypeError):
    """An argument of another type than allowed."""


class InvalidEnvError(RlmeshError, TypeError):
    """An object that does not have the shape of an environment."""


class InvalidModelError(RlmeshError, TypeError):
    """An object that does not have the form of a model."""


class UnsupportedSpaceError(RlmeshError, TypeError):
    """A space that RLMesh does not carry, with its place in the tree, `$.arm[1]`."""


class WrongEndpointKindError(RlmeshError, TypeError):
    """A client of another kind than the endpoint.

    Of single environments at a vector one, of models at an environment, or the other way round.
    """


class ContractMismatchError(RlmeshError, ValueError):
    """An endpoint whose contract breaks what was written or trained for the expected one.

    Args:
        message: What happened, and what to do next.

    Attributes:
        differences: What differs, as `rlmesh.compare_contracts` returns it.
    """

    def __init__(self, message: str, *, differences: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.differences = differences


class NonconformingValueError(RlmeshError, ValueError):
    """A value that its space does not hold, with the path of the offending part."""


class InvalidActionError(NonconformingValueError):
    """An action that the action space does not hold. The environment was not called.

    A model's client raises it for an action of the model.

    Args:
        message: What happened, and what to do next.

    Attributes:
        remote_traceback: Where the serving process noticed it, as text; empty for an action of the
            client.
    """

    def __init__(self, message: str, *, remote_traceback: str = "") -> None:
        super().__init__(message)
        self.remote_traceback = remote_traceback


class InvalidObservationError(NonconformingValueError):
    """The environment returned an observation that its observation space does not hold.

    A model's client raises it for an observation that the model's space does not hold; the model
    was not called.

    Args:
        message: What happened, and what to do next.

    Attributes:
        remote_traceback: Where the serving process noticed it, as text.
    """

    def __init__(self, message: str, *, remote_traceback: str = "") -> None:
        super().__init__(message)
        self.remote_traceback = remote_traceback


class InvalidResultError(NonconformingValueError):
    """The environment returned a reward, flag, info or number of results that is not allowed.

    Args:
        message: What happened, and what to do next.

    Attributes:
        remote_traceback: Where the serving process noticed it, as text.
    """

    def __init__(self, message: str, *, remote_traceback: str = "") -> None:
        super().__init__(message)
        self.remote_traceback = remote_traceback


class RemoteEnvError(RlmeshError, RuntimeError):
    """The environment raised an exception; the session lives on and a reset starts again.

    An error is also an instance of the built-in types that the exception is an instance of, so that
    `except ValueError` catches it. This excludes what is no `Exception`, such as `SystemExit`.

    Args:
        message: What happened, and what to do next.

    Attributes:
        exception_type: The name of the exception's type, with its module unless it is built in.
        exception_message: The exception's own message.
        remote_traceback: The traceback of the serving process, as text.
        env_index: The sub-environment of a `ParallelVectorEnv` that raised; else None.
    """

    env_index: int | None = None

    def __init__(
        self,
        message: str,
        *,
        exception_type: str = "",
        exception_message: str = "",
        remote_traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.exception_message = exception_message
        self.remote_traceback = remote_traceback


class EnvCrashedError(RemoteEnvError):
    """The process in which the environment ran has died; the next reset starts in a new one.

    Attributes:
        env_indices: The sub-environments of a `ParallelVectorEnv` that ran in it; else empty.
    """

    env_indices: tuple[int, ...] = ()


class RemoteModelError(RlmeshError, RuntimeError):
    """The model raised an exception; the session lives on.

    An error is also an instance of the built-in types that the exception is an instance of, so that
    `except ValueError` catches it. This excludes what is no `Exception`, such as `SystemExit`.

    Args:
        message: What happened, and what to do next.

    Attributes:
        exception_type: The name of the exception's type, with its module unless it is built in.
        exception_message: The exception's own message.
        remote_traceback: The traceback of the serving process, as text.
    """

    def __init__(
        self,
        message: str,
        *,
        exception_type: str = "",
        exception_message: str = "",
        remote_traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.exception_message = exception_message
        self.remote_traceback = remote_traceback


class ModelCrashedError(RemoteModelError):
    """The process in which the model ran has died; the server answers in a new one.

    A model that keeps no state answers the next call. A session with a model that keeps state needs
    a reset first, since its state is gone.
    """


class EndpointError(RlmeshError, ConnectionError):
    """Something is wrong with the endpoint or the way to it, not with the environment."""


class EndpointUnreachableError(EndpointError):
    """Nothing answers at the address, or no session opens there.

    Attributes:
        status: What the server was doing, as in `CallTimeoutError`; None where it did not answer.
    """

    status: Any = None


class EndpointBusyError(EndpointError):
    """Every place is taken; the message names the clients that hold them, and since when.

    A model raises it where as many requests wait as its server allows; the session lives on then.

    Args:
        message: What happened, and what to do next.

    Attributes:
        capacity: How many sessions the server has at once; 0 where it does not say.
        holders: The clients that have them, the longest first; at most 16.
        queue_length: How many requests wait for the model; 0 where a place is missing.
    """

    def __init__(
        self,
        message: str,
        *,
        capacity: int = 0,
        holders: tuple[Any, ...] = (),
        queue_length: int = 0,
    ) -> None:
        super().__init__(message)
        self.capacity = capacity
        self.holders = holders
        self.queue_length = queue_length


class EndpointDrainingError(EndpointError):
    """The server is shutting down and takes no new session or call."""


class ConnectionLostError(EndpointError):
    """The connection broke before the answer came."""


class SessionLostError(ConnectionLostError):
    """The episode is gone: the server is another one or did not keep it. A reset starts another."""


class AddressInUseError(EndpointError):
    """Another program serves at the address."""


class AccessDeniedError(EndpointError, PermissionError):
    """The server does not allow this client that call."""


class AuthenticationError(EndpointError, PermissionError):
    """The server does not accept the client's token or certificate."""


class TlsError(EndpointError):
    """No trusted connection can be made: a certificate does not fit, or only one side has TLS."""


class ProtocolError(EndpointError):
    """The peer breaks the protocol, or speaks a version of it that this one does not."""


class CallTimeoutError(RlmeshError, TimeoutError):
    """A deadline passed without an answer; the next call must be a reset.

    A model that keeps no state is asked again without one.

    Attributes:
        status: What the environment of the session was doing, as the server said a moment later;
            None where it did not answer.
    """

    status: Any = None


class SystemResourceError(RlmeshError, OSError):
    """The operating system refuses this process what it needs, such as a descriptor or memory."""


class StateError(RlmeshError, RuntimeError):
    """The object is closed, was never started, or needs a reset first."""
