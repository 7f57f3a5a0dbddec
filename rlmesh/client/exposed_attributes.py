"""What single and vector clients have in common as objects: attributes, `repr`, no copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import gymnasium
from gymnasium.vector import VectorEnv

from rlmesh.client.env_client import EnvClient
from rlmesh.client.multi_endpoint import MultiEndpoint
from rlmesh.client.unexposed import unexposed
from rlmesh.contract import EnvContract, contract_html
from rlmesh.contract.exposed_names import is_client_name
from rlmesh.errors import ArgumentTypeError

# What old environments of Gymnasium had, and wrappers still set.
_FORMER_NAMES = frozenset({"reward_range"})


class ExposedAttributes:
    """Makes an attribute that the server exposes an attribute of the client.

    Reading and setting it are calls to the server. A name that the client or its class has itself
    is the client's; a server cannot expose one that `RemoteEnv` or `RemoteVectorEnv` uses.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes Gymnasium's class a direct base of every client class.

        skrl looks at direct bases alone to recognise an environment.
        """
        super().__init_subclass__(**options)
        made: Any = cls
        bases: tuple[type, ...] = made.__bases__
        for kind in (gymnasium.Env, VectorEnv):
            heirs = [index for index, base in enumerate(bases) if issubclass(base, kind)]
            if heirs and kind not in bases:
                after = heirs[-1] + 1
                made.__bases__ = (*bases[:after], kind, *bases[after:])

    # Type checkers do not see this, so that they report names that no client has.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # It is not set until the connection stands.
            env_client = vars(self).get("_env_client")
            if env_client is not None and name in env_client.exposed:
                return env_client.get_attribute(name)
            if env_client is None or name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise unexposed(name, env_client.exposed)

        def __setattr__(self, name: str, value: Any) -> None:
            env_client = vars(self).get("_env_client")
            if env_client is None or hasattr(type(self), name):
                object.__setattr__(self, name, value)
            elif name in env_client.exposed:
                env_client.set_attribute(name, value)
            elif self._may_have(name):
                object.__setattr__(self, name, value)
            else:
                raise unexposed(
                    name,
                    env_client.exposed,
                    f". The client has no such attribute itself, so setting it would change "
                    f"nothing in the environment. A subclass of {type(self).__name__} declares an "
                    f"attribute of its own in its class, as in {name}: int = 0",
                )

    def _may_have(self, name: str) -> bool:
        """Whether a name that the server does not expose can be set on the client."""
        return (
            name.startswith("_")
            or name in vars(self)
            or name in _FORMER_NAMES
            or is_client_name(name)
            or any(name in vars(kind).get("__annotations__", ()) for kind in type(self).__mro__)
        )

    def __repr__(self) -> str:
        """The class, the address and the transport in use; or that a newer client took over."""
        env_client: EnvClient | MultiEndpoint | None = vars(self).get("_env_client")
        name = type(self).__name__
        if env_client is None:
            return f"<{name}, not connected>"
        if env_client.gave_way:
            return f"<{name} of {env_client.address!r}, gave its place up to a newer client>"
        several = f"num_envs={env_client.num_envs}, " if isinstance(self, VectorEnv) else ""
        return f"{name}({env_client.address!r}, {several}transport={env_client.transport!r})"

    def _repr_html_(self) -> str | None:
        """What notebooks show: what is driven, where, and by which transport."""
        contract: EnvContract | None = vars(self).get("env_contract")
        return None if contract is None else contract_html(contract, {"client": repr(self)})

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuses `copy`, `copy.deepcopy` and `pickle`.

        Raises:
            ArgumentTypeError: Always.
        """
        name = type(self).__name__
        raise ArgumentTypeError(
            f"a {name} cannot be copied or pickled: it holds a connection of this process and one "
            f"session. Pass on the address, or a function such as lambda: {name}(address), and "
            f"make another client there"
        )
