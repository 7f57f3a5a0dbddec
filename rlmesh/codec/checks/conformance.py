"""Checks a slab against its space, on the serving side, for observations and actions alike.

Always rejected are NaN, and an element of a Discrete, MultiDiscrete or MultiBinary outside of its
domain; structure, shape and exactness were the encoder's to reject. Out of a Box's bounds, or out
of a Text's charset or length, is a deviation, which a policy decides about. A slab with nothing to
say about it costs the call of a compiled fast_check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from rlmesh.codec.checks.domains import NumericDomain, TextDomain, find_domains
from rlmesh.codec.checks.explain import compile_inspect
from rlmesh.codec.checks.fast_checks import Predicate, compile_fast_check, compile_fast_text_check
from rlmesh.codec.checks.policy import POLICY_VARIABLE, Policy, policy_from
from rlmesh.codec.slab.layout import Layout
from rlmesh.codec.slab.protocols import ControlChannel, Readable
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh_api.contract import Space

__all__ = [
    "POLICY_VARIABLE",
    "Check",
    "Deviation",
    "Policy",
    "Reporter",
    "compile_check",
    "compile_holds",
    "policy_from",
]


class Check(Protocol):
    """Checks a slab that the layout encoded, or has decoded without complaint."""

    def __call__(
        self,
        slab: Readable,
        offset: int = 0,
        policy: Policy = Policy.WARN,
        notes: ControlChannel = None,
        /,
    ) -> list[Deviation]:
        """The deviations of the value, of every leaf and sub-environment, in declared order.

        Args:
            slab: Where the slab stands.
            offset: Where in it the slab begins.
            policy: What to do about deviations.
            notes: What the encoder noted of the same value; goes first.

        Returns:
            Nothing but under policy `warn`.

        Raises:
            Violation: If an element is NaN or outside of its domain; under policy `strict` for the
                first deviation too.
        """
        ...


def compile_holds(
    space: Space,
    num_envs: int | None,
    layout: Layout,
    batched: Space | None = None,
    policy: Policy = Policy.WARN,
) -> Predicate:
    """Compiles whether there is nothing to say about a slab: what a `Check` asks first.

    Args:
        space: The space of one sub-environment.
        num_envs: The number of sub-environments, None for a single endpoint.
        layout: The layout that was compiled from them.
        batched: The space of all sub-environments, where they differ in their bounds.
        policy: What to do about deviations.
    """
    domains = find_domains(layout.leaves, space, batched)
    numeric = [domain for domain in domains if isinstance(domain, NumericDomain)]
    if policy is Policy.OFF:
        return compile_fast_check([_demand(domain) for domain in numeric])
    texts = [domain for domain in domains if isinstance(domain, TextDomain)]
    return compile_fast_check(numeric, compile_fast_text_check(texts, layout.size))


def compile_check(
    space: Space, num_envs: int | None, layout: Layout, batched: Space | None = None
) -> Check:
    """Compiles the check of a space.

    Args:
        space: The space of one sub-environment.
        num_envs: The number of sub-environments, None for a single endpoint.
        layout: The layout that was compiled from them.
        batched: The space of all sub-environments, where they differ in their bounds.
    """
    holds = compile_holds(space, num_envs, layout, batched)
    holds_at_least = compile_holds(space, num_envs, layout, batched, Policy.OFF)
    inspect = compile_inspect(find_domains(layout.leaves, space, batched), layout.size)

    def check(
        slab: Readable,
        offset: int = 0,
        policy: Policy = Policy.WARN,
        notes: ControlChannel = None,
        /,
    ) -> list[Deviation]:
        if policy is Policy.OFF:
            if not holds_at_least(slab, offset):
                inspect(slab, offset)
            return []
        if not notes and holds(slab, offset):
            return []
        found = [*(notes or ()), *inspect(slab, offset)]
        if policy is Policy.STRICT:
            for first in found:
                raise Violation(first.kind, first.path, first.env_index, first.detail)
        return found

    return check


class Reporter:
    """Remembers in a session which deviations were told, so that each is told once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def filter(self, deviations: Sequence[Deviation]) -> list[dict[str, Any]]:
        """What an info is to tell: of each kind and path the first time, for all sub-environments.

        Args:
            deviations: The deviations of one reset or step.

        Returns:
            Dicts with the keys `kind`, `path`, `env_index` and `detail`.
        """
        news = [item for item in deviations if (item.kind, item.path) not in self._told]
        self._told.update((item.kind, item.path) for item in news)
        return [asdict(item) for item in news]


def _demand(domain: NumericDomain) -> NumericDomain:
    """What is left to demand where no policy asks for bounds."""
    return domain if domain.required else replace(domain, low=None, high=None)
