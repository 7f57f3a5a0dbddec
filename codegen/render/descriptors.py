"""The schema as a Python module that every version of protobuf makes messages of."""

from __future__ import annotations

import base64
import textwrap

from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2

_HEAD = '''"""The descriptors of the schema, and of the health service that goes with it.

A `FileDescriptorSet` in base64. `python -m codegen` writes it.
"""

'''


def render_descriptors(descriptors: bytes) -> str:
    """The module that holds the descriptors, without comments.

    Args:
        descriptors: A `FileDescriptorSet` of the schema.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    for file in files.file:
        file.ClearField("source_code_info")
    files.file.append(_health())
    text = base64.b64encode(files.SerializeToString(deterministic=True)).decode()
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(text, 92))
    return f"{_HEAD}DESCRIPTORS = (\n{lines}\n)\n"


def _health() -> descriptor_pb2.FileDescriptorProto:
    """What a server needs of the health service, which every release of its stubs has."""
    whole = descriptor_pb2.FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(whole)
    needed = ("HealthCheckRequest", "HealthCheckResponse")
    messages = [kind for kind in whole.message_type if kind.name in needed]
    return descriptor_pb2.FileDescriptorProto(
        name=whole.name, package=whole.package, syntax="proto3", message_type=messages
    )
