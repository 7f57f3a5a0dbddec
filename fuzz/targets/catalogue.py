"""Every target, by name."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.target import Target
from fuzz.targets.addresses import ADDRESSES
from fuzz.targets.contracts import CONTRACT_TEXTS, CONTRACTS
from fuzz.targets.infos import INFOS
from fuzz.targets.slabs import SLABS
from fuzz.targets.steps import STEPS

TARGETS: Mapping[str, Target] = {
    target.name: target for target in (ADDRESSES, CONTRACTS, CONTRACT_TEXTS, INFOS, SLABS, STEPS)
}
