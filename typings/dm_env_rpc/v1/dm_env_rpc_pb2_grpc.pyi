# As connection.pyi.
from collections.abc import Iterator
from typing import Any

import grpc

class EnvironmentServicer:
    def Process(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]: ...

def add_EnvironmentServicer_to_server(
    servicer: EnvironmentServicer, server: grpc.Server
) -> None: ...
