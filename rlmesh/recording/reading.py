"""Recordings, read call by call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message

from rlmesh.contract import EnvContract, cost_of
from rlmesh.errors import InvalidArgumentError
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.recording.checking import CallChecker
from rlmesh.recording.container import ABOUT, CALLS, Damage, read_container
from rlmesh.recording.parts import files_of
from rlmesh.recording.writer import FORM
from rlmesh_api.v1 import recording_pb2, session_pb2


@dataclass(frozen=True, slots=True)
class RecordedReset:
    """A reset.

    Attributes:
        call: What the environment was given.
        result: What it returned; None where it failed.
        failure: Why it failed; None where it did not.
        lost_options: What of its options could not be kept.
    """

    call: session_pb2.ResetCall
    result: session_pb2.ResetResult | None
    failure: session_pb2.Failure | None
    lost_options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step.

    Attributes:
        action: The action's slab.
        result: What the environment returned; None where it failed.
        failure: Why it failed; None where it did not.
    """

    action: bytes
    result: session_pb2.StepResult | None
    failure: session_pb2.Failure | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Calls that are missing: their part was removed, or damaged."""


_Message = TypeVar("_Message", bound=Message)

RecordedCall: TypeAlias = RecordedReset | RecordedStep | Gap


@dataclass(slots=True)
class RecordingFiles:
    """One recording, in its parts.

    Attributes:
        paths: The parts, in order.
        contract: The contract of the environment.
        digest: Whether there are only digests of observations.
        versions: The versions of the packages that were in use.
        damages: Where parts end to be readable; known for those that were read to their end.
    """

    paths: list[Path]
    contract: EnvContract
    digest: bool
    versions: Mapping[str, str]
    damages: list[Damage] = field(default_factory=list[Damage])

    @property
    def num_envs(self) -> int | None:
        """The number of sub-environments; None for a single environment."""
        return self.contract.num_envs if self.contract.vector else None

    def calls(self) -> Iterator[RecordedCall]:
        """The calls in order, as far as the files are whole. One message is in memory at once.

        Raises:
            InvalidArgumentError: If a file cannot be read, or holds something else.
        """
        self.damages.clear()
        checker = CallChecker(self.contract, digest=self.digest)
        index: int | None = None
        for path in self.paths:
            for topic, data in read_container(path, self._note):
                if topic != CALLS:
                    continue
                calls = _parsed(recording_pb2.RecordedCalls, data, path)
                if index is None:
                    # Those of removed parts are missing before the first reset alone.
                    index = calls.index
                if calls.index != index and not calls.HasField("reset"):
                    yield Gap()
                index = calls.index + len(calls.steps) + calls.HasField("reset")
                for call in _apart(calls):
                    _check(checker, call, path)
                    yield call

    def _note(self, damage: Damage) -> None:
        self.damages.append(damage)


def open_recordings(path: str | os.PathLike[str]) -> list[RecordingFiles]:
    """The recordings of a file or a folder, in the order of their first files' names.

    Raises:
        InvalidArgumentError: If there is none, or a file is none or of a form that this RLMesh
            does not know.
        StateError: If the package `mcap` is not installed.
    """
    found: dict[bytes, list[tuple[int, Path, recording_pb2.Recording]]] = {}
    for each in files_of(path):
        about = _about(each)
        found.setdefault(about.recording_id, []).append((about.part, each, about))
    return [_recording(parts) for parts in found.values()]


def _recording(parts: list[tuple[int, Path, recording_pb2.Recording]]) -> RecordingFiles:
    parts.sort(key=lambda part: part[0])
    about = parts[0][2]
    try:
        contract = EnvContract.from_proto(about.contract)
    except ValueError as error:
        raise InvalidArgumentError(
            f"the contract in the recording {parts[0][1]} cannot be read: {error}"
        ) from error
    if cost_of(contract, as_vector=contract.vector) > MAX_CONTRACT_BYTES:
        raise InvalidArgumentError(
            f"the recording {parts[0][1]} is of an environment whose spaces take more than "
            f"{MAX_CONTRACT_BYTES >> 30} GiB; it is damaged"
        )
    return RecordingFiles(
        paths=[path for _, path, _ in parts],
        contract=contract,
        digest=about.observations == recording_pb2.KEPT_OBSERVATIONS_DIGEST,
        versions={each.name: each.version for each in about.versions},
    )


def _about(path: Path) -> recording_pb2.Recording:
    damages: list[Damage] = []
    for topic, data in read_container(path, damages.append):
        if topic != ABOUT:
            break
        about = _parsed(recording_pb2.Recording, data, path)
        if about.form != FORM:
            raise InvalidArgumentError(
                f"the recording {path} has the form {about.form}, and this RLMesh reads the form "
                f"{FORM}; read it with the RLMesh that wrote it, or a newer one"
            )
        return about
    what = f": {damages[0].reason}" if damages else ""
    raise InvalidArgumentError(
        f"{path} holds no recording{what}; give a file that rlmesh.Recorder, EnvServer(record=) or "
        f"rlmesh evaluate --record has written"
    )


def _parsed(kind: type[_Message], data: bytes, path: Path) -> _Message:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidArgumentError(
            f"{path} holds no recording of RLMesh: a message in it is no {kind.__name__}"
        ) from error


def _check(checker: CallChecker, call: RecordedReset | RecordedStep, path: Path) -> None:
    try:
        if isinstance(call, RecordedReset):
            checker.reset(call.call, call.result)
        else:
            checker.step(call.action, call.result)
    except ValueError as error:
        raise InvalidArgumentError(
            f"{path} holds no recording of RLMesh: a call in it cannot be: {error}"
        ) from error


def _apart(calls: recording_pb2.RecordedCalls) -> Iterator[RecordedReset | RecordedStep]:
    failure = calls.failure if calls.HasField("failure") else None
    if calls.HasField("reset"):
        failed = failure is not None and not calls.steps
        yield RecordedReset(
            calls.reset,
            None if failed else calls.reset_result,
            failure if failed else None,
            tuple(calls.lost_options),
        )
    results = len(calls.results)
    for number, step in enumerate(calls.steps):
        if number < results:
            yield RecordedStep(step.action, calls.results[number], None)
        else:
            yield RecordedStep(step.action, None, failure)
