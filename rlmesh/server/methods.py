"""The methods of the service as gRPC calls them."""

from __future__ import annotations

import grpc
from google.protobuf.message_factory import GetMessageClass

from rlmesh.lanes.grpc_lane import SESSION_METHOD
from rlmesh.server.service import EnvService
from rlmesh_api.v1 import env_service_pb2

_SERVICE = env_service_pb2.DESCRIPTOR.services_by_name["EnvService"]


def method_handlers(service: EnvService) -> grpc.GenericRpcHandler:
    """What gRPC asks for the methods of the service.

    It is what the generated `add_EnvServiceServicer_to_server` would add, but for `Session`, whose
    messages stay bytes here: they are read and written in one go.
    """
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(service, method.name),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in _SERVICE.methods
        if not SESSION_METHOD.endswith(f"/{method.name}")
    }
    handlers["Session"] = grpc.stream_stream_rpc_method_handler(service.Session)
    return grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)
