"""An append-only file of the episodes that have ended, so that an evaluation can go on later."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.evaluation.episode import Episode, Identity
from rlmesh.evaluation.json_data import as_object

_KIND = "rlmesh evaluation"
_VERSION = 1
_BEGINNING = b'{"kind": "rlmesh evaluation"'


class Journal:
    """A file with a line of JSON for the plan, and for each contract and each episode.

    One thread at a time may call the methods. A process that is killed loses the episodes in
    progress, and leaves at most one line without its end, which the next `Journal` removes.

    Args:
        path: The file; it is made where there is none.
        plan: What is evaluated, as JSON holds it. A file of another plan is refused.

    Attributes:
        episodes: The episodes that the file held when it was opened.
        contracts: The contracts that it held.

    Raises:
        InvalidArgumentError: If the file is that of another evaluation, or of none.
        StateError: If another evaluation is writing it.
        OSError: If it cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], plan: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self.episodes: list[Episode] = []
        self.contracts: list[Identity] = []
        # Not buffered: what was not written, on a full disk, must not be written later.
        self._file = self._path.open("a+b", buffering=0)
        try:
            self._take()
            self._read(plan)
        except BaseException:
            self._file.close()
            raise

    def add(self, found: Episode | Identity) -> None:
        """Appends an episode or a contract. From then on no kill of this process loses it.

        Raises:
            OSError: If it cannot be written, on a full disk for instance. The file is as before.
        """
        if isinstance(found, Episode):
            self._write({"episode": found.to_dict()})
        else:
            self._write({"contract": asdict(found)})

    def close(self) -> None:
        """Closes the file. May be called repeatedly."""
        self._file.close()

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self.close()

    def _take(self) -> None:
        try:
            # The kernel gives it back when the process ends, however it ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(
                f"another evaluation is writing {self._path}; wait for its end, or give this one "
                f"its own file"
            ) from None

    def _read(self, plan: Mapping[str, Any]) -> None:
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if lines:
            self._check(self._parse(lines[0], 1), plan)
            for number, line in enumerate(lines[1:], 2):
                self._keep(self._parse(line, number), number)
        elif not _BEGINNING.startswith(text[: len(_BEGINNING)]):
            raise InvalidArgumentError(self._foreign())
        # What a killed process had begun to write.
        self._file.truncate(len(whole))
        if not lines:
            self._write({"kind": _KIND, "version": _VERSION, "plan": dict(plan)})

    def _write(self, data: Mapping[str, Any]) -> None:
        rest = memoryview(json.dumps(data).encode() + b"\n")
        end = os.fstat(self._file.fileno()).st_size
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(end)
            raise

    def _parse(self, line: bytes, number: int) -> Mapping[str, Any]:
        try:
            data = as_object(json.loads(line))
        except ValueError:
            data = None
        if data is None:
            raise InvalidArgumentError(self._foreign() if number == 1 else self._damaged(number))
        return data

    def _keep(self, data: Mapping[str, Any], number: int) -> None:
        try:
            if set(data) == {"episode"}:
                self.episodes.append(Episode.from_dict(data["episode"]))
                return
            if set(data) == {"contract"}:
                self.contracts.append(Identity.from_dict(data["contract"]))
                return
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{self._damaged(number)}: {error}") from error
        raise InvalidArgumentError(self._damaged(number))

    def _check(self, found: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        if found.get("kind") != _KIND:
            raise InvalidArgumentError(self._foreign())
        if found.get("version") != _VERSION:
            raise InvalidArgumentError(
                f"{self._path} is of version {found.get('version')!r} of its form, and this RLMesh "
                f"reads version {_VERSION}; go on with the RLMesh that began it"
            )
        before: Any = found.get("plan")
        # As JSON gives it back.
        now = json.loads(json.dumps(dict(plan)))
        if before != now:
            known = as_object(before) or {}
            differing = "; ".join(
                f"{name} was {known.get(name)!r:.80} and is {value!r:.80}"
                for name, value in now.items()
                if known.get(name) != value
            )
            raise InvalidArgumentError(
                f"{self._path} is of another evaluation: {differing}; give each evaluation its own "
                f"file"
            )

    def _damaged(self, number: int) -> str:
        return (
            f"{self._path}, line {number}, is damaged; remove that line, and its episode is run "
            f"again"
        )

    def _foreign(self) -> str:
        return (
            f"{self._path} is no file of an evaluation; give one that resume= has made, or a path "
            f"where there is no file yet"
        )
