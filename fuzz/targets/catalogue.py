"""Every target, by name."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.target import Target
from fuzz.targets.addresses import ADDRESSES
from fuzz.targets.answers import ANSWERS
from fuzz.targets.contracts import CONTRACT_TEXTS, CONTRACTS
from fuzz.targets.frames import DIRECT_FRAMES, MEMORY_FRAMES
from fuzz.targets.greetings import GREETINGS
from fuzz.targets.infos import INFOS
from fuzz.targets.predictions import PREDICTIONS
from fuzz.targets.recordings import RECORDINGS
from fuzz.targets.requests import REQUESTS
from fuzz.targets.slabs import SLABS
from fuzz.targets.statuses import STATUSES
from fuzz.targets.steps import STEPS

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        ADDRESSES,
        ANSWERS,
        CONTRACTS,
        CONTRACT_TEXTS,
        DIRECT_FRAMES,
        GREETINGS,
        INFOS,
        MEMORY_FRAMES,
        PREDICTIONS,
        RECORDINGS,
        REQUESTS,
        SLABS,
        STATUSES,
        STEPS,
    )
}
