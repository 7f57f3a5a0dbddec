"""Drives the episodes of one task in one environment, single or vector."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Protocol, TypeAlias

from rlmesh.contract import EnvContract, ModelContract
from rlmesh.errors import EndpointError, InvalidArgumentError, SessionLostError
from rlmesh.evaluation.episode import Episode, Identity
from rlmesh.evaluation.filming import Films, check_rendering
from rlmesh.evaluation.kept import recorded
from rlmesh.evaluation.lane import Judge, Lane
from rlmesh.evaluation.latency import Latency
from rlmesh.evaluation.policies import Actor, PolicySource
from rlmesh.evaluation.sources import Source
from rlmesh.evaluation.worlds import World, one_of, world_of
from rlmesh.recording.writer import RecordingError

Found: TypeAlias = "Episode | Identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every episode.

    Attributes:
        policy: What acts.
        latency: For how long the world goes on while the policy computes.
        max_steps: After how many steps an episode is ended; None: by the environment alone.
        judge: Says whether the task is solved.
        record: The folder that takes what happens; None: nothing is kept.
        video: The folder that takes a video of each episode; None: nothing is filmed.
    """

    policy: PolicySource
    latency: Latency
    max_steps: int | None
    judge: Judge
    record: Path | None = None
    video: Path | None = None


class Seeds(Protocol):
    """Where the seeds of a task wait. Any thread may call the methods."""

    def take(self, task: str) -> int | None:
        """The next seed of the task; None where none waits, or the evaluation is to stop."""
        ...

    def stopped(self) -> bool:
        """Whether the evaluation is to stop."""
        ...


class Drive:
    """Drives one environment until no seed of its task waits. One thread calls all methods.

    A sub-environment whose episode is over takes the next seed at once. Where a step of several
    sub-environments fails, nothing says whose fault it is: each of their episodes is run again,
    alone, and only an error that comes then is an outcome. A connection that breaks is no
    outcome the first time either: the episode is run again over another.

    Args:
        task: The name of the task.
        source: Where the environment comes from.
        rules: What holds for every episode.
        seeds: Where the seeds wait.
        report: Called with each episode that ended, and with each contract.
    """

    def __init__(
        self,
        task: str,
        source: Source,
        rules: Rules,
        seeds: Seeds,
        report: Callable[[Found], None],
    ) -> None:
        self._task = task
        self._source = source
        self._rules = rules
        self._seeds = seeds
        self._report = report
        self._open = contextlib.ExitStack()
        self._world: World | None = None
        self._actors: list[Actor] = []
        # The episodes in progress, by the index of their sub-environment.
        self._lanes: dict[int, Lane] = {}
        self._films: Films | None = None
        # What is run again, and whether one at a time.
        self._again: deque[int] = deque()
        self._alone = False
        # Whose connection broke before.
        self._lost: set[int] = set()

    def run(self) -> None:
        """Drives the environment, and closes it.

        Raises:
            Exception: What making the environment or connecting raised.
        """
        try:
            while not self._seeds.stopped() and self._begin():
                self._step()
        finally:
            self._close()

    def _begin(self) -> bool:
        """Begins episodes where there is room; whether any is in progress."""
        world = self._world
        seeds = self._next_seeds(1 if world is None else world.num_envs - len(self._lanes))
        if not seeds:
            return bool(self._lanes)
        if world is None:
            world = self._connect()
            seeds += [] if self._alone else self._next_seeds(world.num_envs - len(seeds))
        free = (index for index in range(world.num_envs) if index not in self._lanes)
        begun = dict(zip(free, seeds, strict=False))
        for index, seed in begun.items():
            self._lanes[index] = Lane(
                self._task,
                seed,
                self._actors[index],
                latency=self._rules.latency,
                step_seconds=world.step_seconds or 1.0,
                max_steps=self._rules.max_steps,
                judge=self._rules.judge,
            )
        before = perf_counter()
        try:
            observations = world.reset(begun)
        except Exception as error:  # noqa: BLE001 - an outcome of its own, reported apart
            self._fail(error)
            return True
        seconds = perf_counter() - before
        if self._films is not None:
            for seed in begun.values():
                self._films.begin(seed)
            self._film(self._films, begun)
        self._each(begun, lambda index, lane: lane.begin(observations[index], seconds))
        return True

    def _next_seeds(self, room: int) -> list[int]:
        if self._alone and (self._lanes or self._again):
            return [] if self._lanes else [self._again.popleft()]
        self._alone = False
        found: list[int] = []
        while len(found) < room:
            seed = self._again.popleft() if self._again else self._seeds.take(self._task)
            if seed is None:
                break
            found.append(seed)
        return found

    def _connect(self) -> World:
        """Makes the environment, and what acts in each of its sub-environments."""
        env = self._source.open()
        if self._source.owned:
            self._open.callback(env.close)
        if self._rules.record is not None:
            # It has the form of an environment.
            world_of(env)
            recorder = recorded(env, self._rules.record)
            self._open.callback(recorder.end)
            env = recorder
        world = world_of(env)
        if self._rules.latency.moves and world.step_seconds is None:
            raise InvalidArgumentError(
                f"latency={self._rules.latency.given!r} needs to know how long a step lasts, and "
                f"the environment does not say: its metadata has no render_fps; add it, or pass "
                f'latency="frozen"'
            )
        contract = None if world.contract is None else one_of(world.contract)
        self._identify("environment", contract)
        for _ in range(world.num_envs):
            actor, model = self._open.enter_context(self._rules.policy.open(contract))
            self._actors.append(actor)
            if len(self._actors) == 1:
                self._identify("policy", model)
        if self._rules.video is not None:
            check_rendering(world)
            self._films = Films(self._rules.video, self._task, world.step_seconds)
            self._open.callback(self._films.close)
        self._world = world
        return world

    def _identify(
        self, of: Literal["environment", "policy"], contract: EnvContract | ModelContract | None
    ) -> None:
        if contract is not None:
            found = Identity(
                of=of, task=self._task, id=contract.id, fingerprint=contract.fingerprint
            )
            self._report(found)

    def _close(self) -> None:
        self._world, self._actors, self._films = None, [], None
        self._open.close()

    def _step(self) -> None:
        """Steps all episodes in progress."""
        actions: dict[int, Any] = {}

        def choose(index: int, lane: Lane) -> None:
            actions[index] = lane.action()

        # All are asked before the first answer is awaited.
        self._each(self._lanes, lambda _, lane: lane.ask())
        self._each(self._lanes, choose)
        if self._world is None or not self._lanes:
            return
        before = perf_counter()
        try:
            steps = self._world.step(actions)
        except Exception as error:  # noqa: BLE001 - an outcome of its own, reported apart
            self._fail(error)
            return
        seconds = perf_counter() - before
        if self._films is not None:
            self._film(self._films, [index for index, step in steps.items() if step.lost is None])
            if not self._lanes:
                return
        for index, step in steps.items():
            lane = self._lanes[index]
            if step.lost is not None:
                del self._lanes[index]
                self._lose(lane, step.lost)
                continue
            lane.stepped(step, seconds)
            if lane.ending is not None:
                del self._lanes[index]
                self._end(lane)

    def _film(self, films: Films, indices: Iterable[int]) -> None:
        """Adds what these sub-environments render to the videos of their episodes."""
        if self._world is None:
            return
        try:
            frames = self._world.render()
        except EndpointError as error:
            self._fail(error)
            return
        for index in indices:
            films.add(self._lanes[index].seed, frames[index])

    def _each(self, indices: Iterable[int], ask: Callable[[int, Lane], None]) -> None:
        """Asks the policy of each of these episodes; an error of it ends that episode alone."""
        for index in list(indices):
            lane = self._lanes.get(index)
            if lane is None:
                continue
            try:
                ask(index, lane)
            except EndpointError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - an outcome of its own, reported apart
                del self._lanes[index]
                self._end_by(lane, error)

    def _fail(self, error: Exception) -> None:
        """Ends all episodes in progress: what drives them failed."""
        if isinstance(error, RecordingError):
            # No outcome of an episode, and every other one would fail alike.
            raise error
        lanes = list(self._lanes.values())
        seeds = [lane.seed for lane in lanes]
        self._lanes.clear()
        if self._films is not None and len(seeds) > 1:
            for seed in seeds:
                self._films.drop(seed)
        broken = isinstance(error, EndpointError)
        if broken:
            self._close()
        if broken and self._lost.isdisjoint(seeds):
            self._lost.update(seeds)
            self._again.extend(seeds)
        elif len(lanes) > 1:
            self._alone = True
            self._again.extend(seeds)
        elif broken and not self._source.owned:
            # Another client cannot be made, so the next episodes would fail alike.
            raise error
        else:
            self._end_by(lanes[0], error)

    def _lose(self, lane: Lane, reason: str) -> None:
        """Runs an episode again whose sub-environment was replaced; the second time it ends."""
        if lane.seed in self._lost:
            self._end_by(lane, SessionLostError(reason))
        else:
            self._lost.add(lane.seed)
            self._again.append(lane.seed)
            if self._films is not None:
                self._films.drop(lane.seed)

    def _end_by(self, lane: Lane, error: Exception) -> None:
        lane.fail(error)
        self._end(lane)

    def _end(self, lane: Lane) -> None:
        if self._films is not None:
            self._films.end(lane.seed)
        self._report(lane.episode())
