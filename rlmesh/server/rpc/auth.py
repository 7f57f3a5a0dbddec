"""Keeps strangers out: a caller that shows no token, or another one, learns nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from rlmesh.security import AUTHORIZATION, Token
from rlmesh.server.rpc.health import SERVICE_NAME as HEALTH

# Supervisors ask without a token; the answer says whether the server serves, and no more.
_OPEN = frozenset(f"/{HEALTH}/{method}" for method in ("Check", "Watch"))
_REFUSAL = "this server answers those who show its token"


class TokenInterceptor(grpc.ServerInterceptor):
    """Refuses a call without the token, before anything else is done for it.

    Args:
        token: The token; None: no call needs one.

    Attributes:
        refused: How many calls were refused. Only gRPC's thread changes it.
    """

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self.refused: int = 0
        # A stream, since gRPC calls its handler before a message of the stranger has arrived.
        self._refuse: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            _refuse
        )

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What handles a call."""
        if (
            self._token is None
            or handler_call_details.method in _OPEN
            or self._shown(handler_call_details, self._token)
        ):
            return continuation(handler_call_details)
        self.refused += 1
        return self._refuse

    @staticmethod
    def _shown(details: grpc.HandlerCallDetails, token: Token) -> bool:
        shown = [value for key, value in details.invocation_metadata if key == AUTHORIZATION]
        if len(shown) != 1:
            return False
        [value] = shown
        return token.is_shown_by(
            value if isinstance(value, bytes) else value.encode(errors="replace")
        )


def _refuse(requests: Any, context: grpc.ServicerContext) -> Any:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSAL)
