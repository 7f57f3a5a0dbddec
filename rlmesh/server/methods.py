"""The methods of the service as gRPC calls them."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from rlmesh.lanes.grpc_lane import SESSION_METHOD
from rlmesh.server.service import EnvService
from rlmesh_api.v1 import env_service_pb2

_SERVICE = env_service_pb2.DESCRIPTOR.services_by_name["EnvService"]


class Methods(grpc.GenericRpcHandler):
    """What gRPC asks for the methods of the service.

    It gives what the generated `add_EnvServiceServicer_to_server` would add, but for `Session`,
    whose messages stay bytes here: they are read and written in one go.
    """

    def __init__(self, service: EnvService) -> None:
        self._service = service
        self._handlers = {
            f"/{_SERVICE.full_name}/{method.name}": grpc.unary_unary_rpc_method_handler(
                getattr(service, method.name),
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
            for method in _SERVICE.methods
            if not SESSION_METHOD.endswith(f"/{method.name}")
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What handles a call; None if it is none of the service's."""
        if handler_call_details.method == SESSION_METHOD:
            # Without serializers: what crosses is read and written in one go.
            return grpc.stream_stream_rpc_method_handler(self._service.session().serve)
        return self._handlers.get(handler_call_details.method)
