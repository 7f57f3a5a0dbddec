"""The kinds of endpoints, and the questions that an endpoint answers without a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from rlmesh.client.channel import ChannelFactory
from rlmesh.errors import RlmeshError, WrongEndpointKindError
from rlmesh.transports.failures import status_of
from rlmesh_api.v1 import env_service_pb2, model_service_pb2

RequestType = TypeVar("RequestType", bound=Message)
ResponseType = TypeVar("ResponseType", bound=Message)

# How long a server may take to say of which kind it is, once it has said of which it is not.
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of endpoint.

    Attributes:
        service: The full name of its service.
        noun: What is served: `an environment`.
        clients: The classes of its clients.
    """

    service: str
    noun: str
    clients: str


def _full_name(service: ServiceDescriptor) -> str:
    name: str = service.full_name
    return name


ENVIRONMENT = Kind(
    service=_full_name(env_service_pb2.DESCRIPTOR.services_by_name["EnvService"]),
    noun="an environment",
    clients="rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv where it is a vector environment, or "
    "rlmesh.RemoteParallelEnv where it is one of many agents",
)
MODEL = Kind(
    service=_full_name(model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]),
    noun="a model",
    clients="rlmesh.RemoteModel",
)
KINDS = (ENVIRONMENT, MODEL)


@dataclass(frozen=True, slots=True)
class Question(Generic[RequestType, ResponseType]):
    """A question to an endpoint, which needs no session.

    Attributes:
        method: The method's name.
        request: The question.
        response: The type of the answer.
    """

    method: str
    request: RequestType
    response: type[ResponseType]

    def call(
        self, channel: grpc.Channel, service: str
    ) -> grpc.UnaryUnaryMultiCallable[RequestType, ResponseType]:
        """The method on a channel."""
        method: grpc.UnaryUnaryMultiCallable[RequestType, ResponseType] = channel.unary_unary(
            f"/{service}/{self.method}",
            request_serializer=type(self.request).SerializeToString,
            response_deserializer=self.response.FromString,
        )
        return method

    def ask(
        self,
        channels: ChannelFactory,
        channel: grpc.Channel,
        service: str,
        timeout: float | None,
        *,
        wait_for_ready: bool = False,
    ) -> ResponseType:
        """Asks, and finds the reason where no answer comes; see `ChannelFactory.ask`.

        Raises:
            grpc.RpcError: If the call fails.
            TlsError: If no answer comes, as TLS fails.
            AuthenticationError: If no answer comes, as the server refuses the certificate.
        """
        return channels.ask(
            self.call(channel, service), self.request, timeout, wait_for_ready=wait_for_ready
        )


STATUS = Question(
    "GetStatus", env_service_pb2.GetStatusRequest(), env_service_pb2.GetStatusResponse
)
"""Asks what the server is doing; all kinds answer it alike."""

SHUTDOWN = Question("Shutdown", env_service_pb2.ShutdownRequest(), env_service_pb2.ShutdownResponse)
"""Asks the server to end; likewise."""

ENV_CONTRACT = Question(
    "GetContract", env_service_pb2.GetContractRequest(), env_service_pb2.GetContractResponse
)
"""Asks for the contract of an environment."""


def model_contract(
    model: str,
) -> Question[
    model_service_pb2.ModelServiceGetContractRequest,
    model_service_pb2.ModelServiceGetContractResponse,
]:
    """Asks for the contract of a model; an empty name stands for the only one."""
    return Question(
        "GetContract",
        model_service_pb2.ModelServiceGetContractRequest(model=model),
        model_service_pb2.ModelServiceGetContractResponse,
    )


def is_unknown(error: grpc.RpcError) -> bool:
    """Whether a call failed because the server has no such service."""
    return status_of(error)[0] is grpc.StatusCode.UNIMPLEMENTED


def other_kind(
    error: grpc.RpcError, kind: Kind, channels: ChannelFactory, channel: grpc.Channel, address: str
) -> WrongEndpointKindError | None:
    """The error where an endpoint of another kind has answered; None where none has.

    Args:
        error: Why the question for the contract failed.
        kind: The kind that the endpoint was taken for.
        channels: Made the channel.
        channel: The channel to the endpoint.
        address: Its address, for the message.
    """
    if not is_unknown(error):
        return None
    for other in KINDS:
        if other is kind:
            continue
        try:
            STATUS.ask(channels, channel, other.service, _LOOK_SECONDS)
        except (grpc.RpcError, RlmeshError):
            continue
        return WrongEndpointKindError(
            f"{address} serves {other.noun}, and this is a client for {kind.noun}; connect with "
            f"{other.clients}"
        )
    return None
