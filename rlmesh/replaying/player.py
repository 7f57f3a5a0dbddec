"""Repeats the calls of one recording in an environment, and compares what they return."""

from __future__ import annotations

from typing import Any

from rlmesh.codec.slab.violations import Violation
from rlmesh.envs.gym_compat import compile_reset
from rlmesh.envs.results import BadResultError
from rlmesh.errors import EndpointError
from rlmesh.recording.encoding import CallEncoder, failure_of
from rlmesh.recording.episodes import Place, options_of, seed_of, seeds_of, tracked, whole_seed
from rlmesh.recording.reading import RecordedReset, RecordedStep, RecordingFiles
from rlmesh.replaying.comparing import Comparison, Found
from rlmesh.replaying.results import Difference, ReplayedEpisode
from rlmesh.spaces.paths import ROOT
from rlmesh_api.v1 import recording_pb2, session_pb2


class Player:
    """Repeats one recording.

    Where an episode of a single environment differs, the next step that is repeated is the first of
    the next episode; of a vector environment the other sub-environments go on.

    Args:
        files: The recording.
        env: The environment.
        comparison: Compares what the calls return.

    Attributes:
        episodes: What became of each episode so far, by its number.
        skipped: How many steps were not repeated.
    """

    def __init__(self, files: RecordingFiles, env: Any, comparison: Comparison) -> None:
        self._files = files
        self._name = str(files.paths[0])
        self._env = env
        self._reset = compile_reset(env)
        self._comparison = comparison
        self._calls = CallEncoder(files.contract, digest=files.digest)
        self._vector = files.contract.vector
        self.episodes: dict[int, _Progress] = {}
        self.skipped: int = 0
        # Whether the environment is where the recorded one was, as far as is known.
        self._follows = False
        # Whether its random numbers are.
        self._seeded = False
        # The sub-environments that have differed since the last reset of all.
        self._apart: set[int] = set()

    def run(self) -> None:
        """Repeats all calls.

        Raises:
            InvalidArgumentError: If the recording cannot be read.
            RlmeshError: If the connection to the environment breaks.
        """
        for call, tracker in tracked(self._files):
            if isinstance(call, RecordedReset):
                self._play_reset(call, tracker.places)
            elif isinstance(call, RecordedStep):
                if self._follows:
                    self._play_step(call, tracker.places)
                else:
                    self.skipped += 1
            else:
                self._follows = self._seeded = False

    def results(self) -> list[ReplayedEpisode]:
        """What became of each episode, in the order of their beginnings."""
        return [self.episodes[number].result(self._name) for number in sorted(self.episodes)]

    def _play_reset(self, call: RecordedReset, places: list[Place | None]) -> None:
        begun = [index for index, place in enumerate(places) if place and place.begins]
        whole = len(begun) == len(places)
        seeds = seeds_of(call, len(places))
        if not whole and not self._follows:
            return
        if whole:
            # Where the random numbers went is not known after a difference.
            known = self._seeded and not self._apart and self._follows
            self._seeded = known or all(seed is not None for seed in seeds)
            self._apart.clear()
            self._follows = True
        self._apart.difference_update(index for index in begun if seeds[index] is not None)
        for index in begun:
            self._enter(index, places[index], seeds[index], call.lost_options)
        seed = seed_of(call)
        returned, failure = self._called("reset()", lambda: self._reset(seed, options_of(call)))
        result: session_pb2.ResetResult | None = None
        if failure is None:
            try:
                result = self._calls.reset_result(returned)
            except (Violation, BadResultError) as error:
                failure = failure_of("reset()", error)
        found = self._failed(call.failure, failure)
        if found is None and result is not None and call.result is not None:
            self._note(self._comparison.resets(call.result, result), places)
        elif found is not None:
            self._note_all(found, places)

    def _play_step(self, call: RecordedStep, places: list[Place | None]) -> None:
        for index, place in enumerate(places):
            if place is not None and place.episode not in self.episodes:
                self._enter(index, place, None, ())
        action = self._calls.action.decode(call.action)
        returned, failure = self._called("step()", lambda: self._env.step(action))
        result: session_pb2.StepResult | None = None
        if failure is None:
            try:
                calls = recording_pb2.RecordedCalls.FromString(
                    self._calls.step(call.action, returned)
                )
                result = calls.results[0]
            except (Violation, BadResultError) as error:
                failure = failure_of("step()", error)
        for index, place in enumerate(places):
            if place is not None and index not in self._apart:
                self.episodes[place.episode].steps = place.step
        found = self._failed(call.failure, failure)
        if found is None and result is not None and call.result is not None:
            self._note(self._comparison.steps(call.result, result), places)
        elif found is not None:
            self._note_all(found, places)

    def _called(self, name: str, call: Any) -> tuple[Any, session_pb2.Failure | None]:
        try:
            return call(), None
        except EndpointError:
            raise
        except Exception as error:  # noqa: BLE001 - the recorded call may have raised the same
            return None, failure_of(name, error)

    def _failed(
        self, recorded: session_pb2.Failure | None, replayed: session_pb2.Failure | None
    ) -> Found | None:
        """How failures differ; None where both calls returned, or failed in the same way."""
        if recorded is None and replayed is None:
            return None
        texts = ["no error" if each is None else _text(each) for each in (recorded, replayed)]
        if texts[0] == texts[1]:
            # What comes after it was not recorded.
            return None
        self._follows = False
        return Found("error", ROOT, (), texts[0], texts[1])

    def _enter(
        self, index: int, place: Place | None, seed: Any, lost_options: tuple[str, ...]
    ) -> None:
        if place is None or index in self._apart:
            return
        self.episodes[place.episode] = _Progress(
            number=place.episode,
            env_index=index if self._vector else None,
            seed=whole_seed(seed),
            seeded=seed is not None or self._seeded,
            lost_options=lost_options,
        )

    def _note(self, found: dict[int, Found], places: list[Place | None]) -> None:
        for index, each in found.items():
            self._note_one(index, each, places)

    def _note_all(self, found: Found, places: list[Place | None]) -> None:
        for index in range(len(places)):
            self._note_one(index, found, places)

    def _note_one(self, index: int, found: Found, places: list[Place | None]) -> None:
        place = places[index]
        if place is None or index in self._apart:
            return
        self._apart.add(index)
        progress = self.episodes[place.episode]
        progress.difference = Difference(
            recording=self._name,
            episode=place.episode,
            env_index=progress.env_index,
            step=place.step,
            part=found.part,
            path=found.path,
            index=found.index,
            recorded=found.recorded,
            replayed=found.replayed,
            ulps=found.ulps,
        )
        if not self._vector:
            self._follows = False


class _Progress:
    """One episode while it is repeated."""

    def __init__(
        self,
        *,
        number: int,
        env_index: int | None,
        seed: int | None,
        seeded: bool,
        lost_options: tuple[str, ...],
    ) -> None:
        self.number = number
        self.env_index = env_index
        self.seed = seed
        self.seeded = seeded
        self.lost_options = lost_options
        self.steps = 0
        self.difference: Difference | None = None

    def result(self, recording: str) -> ReplayedEpisode:
        """What became of it."""
        return ReplayedEpisode(
            recording=recording,
            number=self.number,
            env_index=self.env_index,
            seed=self.seed,
            seeded=self.seeded,
            steps=self.steps,
            difference=self.difference,
            lost_options=self.lost_options,
        )


def _text(failure: session_pb2.Failure) -> str:
    """What two failures of the same kind have in common."""
    if failure.exception_type:
        return f"{failure.exception_type}: {failure.exception_message}"
    return failure.message
