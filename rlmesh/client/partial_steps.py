"""Steps of some of several endpoints: the first that are done are taken, the others go on."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rlmesh.client.env_client import Transition
from rlmesh.codec.slab.violations import Violation
from rlmesh.codec.vector.infos import add_sub_env, unmasked
from rlmesh.codec.vector.parts import Join, Part, compile_part
from rlmesh.errors import CallTimeoutError, InvalidActionError, InvalidArgumentError
from rlmesh_api.contract import Space

__all__ = ["PartialSteps"]

Done = tuple[int, Transition | Exception]


class Endpoints(Protocol):
    """What steps each of several endpoints apart.

    Attributes:
        address: The endpoints' addresses.
    """

    address: list[str]

    def begin_one(self, number: int, actions: Any) -> None:
        """Sends a step to one endpoint."""
        ...

    def end_one(self, number: int, timeout: float | None) -> Transition:
        """Awaits the step that `begin_one` has sent."""
        ...


class PartialSteps:
    """Sends steps to some endpoints, and awaits each of them on its own thread.

    Args:
        endpoints: Steps each endpoint.
        ranges: The sub-environments of each.
        batch_size: For how many sub-environments `recv` waits.
        space: The action space of one sub-environment.
        join: Puts batched observations together.

    Raises:
        InvalidArgumentError: If the endpoints cannot give batches of that size.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        ranges: Sequence[tuple[int, int]],
        batch_size: int,
        space: Space,
        join: Join,
    ) -> None:
        sizes = {stop - start for start, stop in ranges}
        if batch_size != ranges[-1][1] and (len(sizes) > 1 or batch_size % max(sizes)):
            raise InvalidArgumentError(
                f"batch_size={batch_size} does not go with endpoints of "
                f"{', '.join(map(str, sorted(sizes)))} sub-environments, as those of one endpoint "
                f"are stepped together; give a multiple of what each of them has"
            )
        self._endpoints = endpoints
        self._ranges = ranges
        self._batch_size = batch_size
        self._parts: dict[int, Part] = {}
        self._space = space
        self._join = join
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._work: dict[int, queue.SimpleQueue[bool]] = {}
        self._taken: list[Done] = []
        self._busy: set[int] = set()

    def send(self, actions: Any, env_indices: npt.NDArray[np.intp]) -> None:
        """Has some sub-environments step, none of which is in a step."""
        place_of = {index: place for place, index in enumerate(env_indices.tolist())}
        chosen = [
            number
            for number, (start, stop) in enumerate(self._ranges)
            if any(index in place_of for index in range(start, stop))
        ]
        encoded: list[tuple[int, Any]] = []
        for number in chosen:
            start, stop = self._ranges[number]
            places = [place_of.get(index) for index in range(start, stop)]
            first = places[0]
            if first is None or places != list(range(first, first + len(places))):
                raise InvalidArgumentError(
                    f"env_ids: the sub-environments {start} to {stop - 1} belong to one endpoint "
                    f"and are stepped together; name all of them, side by side and in order"
                )
            try:
                part = self._part_of(len(env_indices))(actions, first, first + len(places))
            except Violation as error:
                raise InvalidActionError(
                    f"the action was refused: {error}. No environment was called"
                ) from error
            encoded.append((number, part))
        for number, part in encoded:
            self._endpoints.begin_one(number, part)
            self._busy.add(number)
            self._worker(number).put(True)

    def recv(self, timeout: float | None) -> Transition:
        """Waits for the first that are done; their numbers stand in the info."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._count() < self._batch_size:
            rest = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                self._taken.append(self._done.get(timeout=rest))
            except queue.Empty:
                raise self._late(timeout) from None
        taken = self._first()
        failures = [each for _, each in taken if isinstance(each, Exception)]
        if failures:
            raise failures[0]
        return self._together(
            sorted((number, each) for number, each in taken if isinstance(each, tuple))
        )

    def discard(self) -> None:
        """Waits for what was sent, and drops it."""
        self._taken.clear()
        while self._busy:
            self._busy.discard(self._done.get()[0])

    def _count(self) -> int:
        """For how many sub-environments there is a result."""
        return sum(self._ranges[number][1] - self._ranges[number][0] for number, _ in self._taken)

    def _first(self) -> list[Done]:
        """The results of one batch, those that came first; the others are kept."""
        taken: list[Done] = []
        count = 0
        while count < self._batch_size:
            number, result = self._taken.pop(0)
            self._busy.discard(number)
            start, stop = self._ranges[number]
            count += stop - start
            taken.append((number, result))
        return taken

    def _together(self, taken: list[tuple[int, Transition]]) -> Transition:
        observations, rewards, terminations, truncations, infos = zip(
            *(each for _, each in taken), strict=True
        )
        numbers = np.concatenate([np.arange(*self._ranges[number]) for number, _ in taken])
        merged: dict[str, Any] = {}
        place = 0
        for (number, _), info in zip(taken, infos, strict=True):
            start, stop = self._ranges[number]
            for key, value in unmasked(info).items():
                merged.setdefault(key, value)
            for index in range(stop - start):
                add_sub_env(merged, info, place + index, len(numbers), index)
            place += stop - start
        merged["env_id"] = numbers.astype(np.int64)
        return (
            self._join(list(observations)),
            np.concatenate(rewards),
            np.concatenate(terminations),
            np.concatenate(truncations),
            merged,
        )

    def _part_of(self, count: int) -> Part:
        """What gives the parts of the actions of so many sub-environments."""
        part = self._parts.get(count)
        if part is None:
            part = self._parts[count] = compile_part(self._space, count)
        return part

    def _late(self, timeout: float | None) -> CallTimeoutError:
        done = {number for number, _ in self._taken}
        late = [
            f"sub-environments from {self._ranges[number][0]} on, at "
            f"{self._endpoints.address[number]}"
            for number in sorted(self._busy - done)
        ]
        return CallTimeoutError(
            f"recv: {self._count()} of {self._batch_size} sub-environments were done within "
            f"{timeout:g} s; not done are {'; '.join(late)}. Call recv() again, or reset()"
        )

    def _worker(self, number: int) -> queue.SimpleQueue[bool]:
        """The work of the thread that awaits an endpoint's answers."""
        work = self._work.get(number)
        if work is None:
            work = self._work[number] = queue.SimpleQueue()
            weakref.finalize(self, work.put, False)
            threading.Thread(
                target=_await_answers,
                args=(number, self._endpoints, work, self._done),
                name="rlmesh-answers",
                daemon=True,
            ).start()
        return work


def _await_answers(
    number: int,
    endpoints: Endpoints,
    work: queue.SimpleQueue[bool],
    done: queue.SimpleQueue[Done],
) -> None:
    while work.get():
        try:
            done.put((number, endpoints.end_one(number, None)))
        except Exception as error:  # noqa: BLE001 - `recv` raises it; without it that would wait on
            done.put((number, error))
