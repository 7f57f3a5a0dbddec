"""Checks a slab against its space, on the serving side, for observations and actions alike.

Always rejected is an element of a Discrete, MultiDiscrete or MultiBinary outside of its domain, and
NaN unless the server delivers it; the encoder has rejected a wrong structure or shape and inexact
values before. A value out of a Box's bounds, or out of a Text's charset or length, is a deviation,
which a policy decides about. A slab without either costs the call of one compiled fast check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from rlmesh.codec.checks.domains import NumericDomain, TextDomain, find_domains
from rlmesh.codec.checks.explain import compile_inspect
from rlmesh.codec.checks.fast_checks import FastCheck, compile_fast_check, compile_fast_text_check
from rlmesh.codec.checks.policy import POLICY_VARIABLE, Nan, Policy, policy_from
from rlmesh.codec.slab.layout import Layout
from rlmesh.codec.slab.protocols import Notes, Readable
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh_api.contract import Space

__all__ = [
    "POLICY_VARIABLE",
    "Check",
    "Deviation",
    "Nan",
    "Policy",
    "Reporter",
    "compile_check",
    "compile_fast_check_of",
    "policy_from",
]


class Check(Protocol):
    """Checks a slab that the layout encoded, or has decoded without complaint."""

    def __call__(
        self,
        slab: Readable,
        offset: int = 0,
        policy: Policy = Policy.WARN,
        notes: Notes = None,
        /,
    ) -> list[Deviation]:
        """The deviations of the value, of every leaf and sub-environment, in declared order.

        Args:
            slab: Where the slab stands.
            offset: Where in it the slab begins.
            policy: What to do about deviations.
            notes: What the encoder noted of the same value; comes first in the result.

        Returns:
            Always an empty list under another policy than `warn`.

        Raises:
            Violation: If an element is outside of its domain, or NaN where that is rejected; under
                policy `strict` for the first deviation too.
        """
        ...


def compile_fast_check_of(
    space: Space,
    num_envs: int | None,
    layout: Layout,
    batched: Space | None = None,
    policy: Policy = Policy.WARN,
    *,
    nan: Nan = Nan.REJECT,
) -> FastCheck:
    """Compiles the fast check that a `Check` asks first: whether a slab needs a closer look.

    Args:
        space: The space of one sub-environment.
        num_envs: The number of sub-environments, None for a single endpoint.
        layout: The layout that was compiled from them.
        batched: The space of all sub-environments, where they differ in their bounds.
        policy: What to do about deviations.
        nan: What to do about NaN in a box of floats.
    """
    domains = find_domains(layout.leaves, space, batched, nan)
    numeric = [domain for domain in domains if isinstance(domain, NumericDomain)]
    if policy is Policy.OFF:
        return compile_fast_check([_required(domain) for domain in numeric])
    texts = [domain for domain in domains if isinstance(domain, TextDomain)]
    return compile_fast_check(numeric, compile_fast_text_check(texts, layout.size))


def compile_check(
    space: Space,
    num_envs: int | None,
    layout: Layout,
    batched: Space | None = None,
    *,
    nan: Nan = Nan.REJECT,
) -> Check:
    """Compiles the check of a space.

    Args:
        space: The space of one sub-environment.
        num_envs: The number of sub-environments, None for a single endpoint.
        layout: The layout that was compiled from them.
        batched: The space of all sub-environments, where they differ in their bounds.
        nan: What to do about NaN in a box of floats.
    """
    is_fine = compile_fast_check_of(space, num_envs, layout, batched, nan=nan)
    is_fine_at_least = compile_fast_check_of(space, num_envs, layout, batched, Policy.OFF, nan=nan)
    inspect = compile_inspect(find_domains(layout.leaves, space, batched, nan), layout.size)

    def check(
        slab: Readable,
        offset: int = 0,
        policy: Policy = Policy.WARN,
        notes: Notes = None,
        /,
    ) -> list[Deviation]:
        if policy is Policy.OFF:
            if not is_fine_at_least(slab, offset):
                inspect(slab, offset)
            return []
        if not notes and is_fine(slab, offset):
            return []
        found = [*(notes or ()), *inspect(slab, offset)]
        if policy is Policy.STRICT:
            for first in found:
                raise Violation(first.kind, first.path, first.env_index, first.detail)
        return found

    return check


MAX_REPORTED = 10_000
"""How many different deviations one session reports."""


class Reporter:
    """Remembers which deviations a session has reported, so that each is reported once.

    After `MAX_REPORTED` of them no further one is reported, or remembered.
    """

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()

    def filter(self, deviations: Sequence[Deviation]) -> list[dict[str, Any]]:
        """What an info reports: each kind and path the first time, for all sub-environments.

        Args:
            deviations: The deviations of one reset or step.

        Returns:
            Dicts with the keys `kind`, `path`, `env_index` and `detail`.
        """
        news = [item for item in deviations if (item.kind, item.path) not in self._reported]
        if len(self._reported) + len(news) > MAX_REPORTED:
            del news[max(0, MAX_REPORTED - len(self._reported)) :]
        self._reported.update((item.kind, item.path) for item in news)
        return [asdict(item) for item in news]


def _required(domain: NumericDomain) -> NumericDomain:
    """What is still required where the policy does not check bounds."""
    return domain if domain.required else replace(domain, low=None, high=None)
