"""An append-only file of the episodes that have ended, so that an evaluation can go on later."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rlmesh.errors import InvalidArgumentError
from rlmesh.evaluation.episode import Episode

_KIND = "rlmesh evaluation"
_VERSION = 1


class Journal:
    """A file with a line for each episode. A line that is whole was written by a whole episode.

    One thread at a time may call the methods. A process that is killed loses the episodes in
    flight, and leaves at most one line without its end, which the next `Journal` removes.

    Args:
        path: The file; made where there is none.
        plan: What is evaluated, as JSON holds it. A file of another plan is refused.

    Attributes:
        episodes: What the file held when it was opened.

    Raises:
        InvalidArgumentError: If the file is that of another evaluation, or none at all.
        OSError: If it cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], plan: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self.episodes: list[Episode] = []
        header = {"kind": _KIND, "version": _VERSION, "plan": dict(plan)}
        text = self._path.read_bytes() if self._path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if lines:
            self._check(self._parse(lines[0], 1), header)
            self.episodes = [
                Episode.from_dict(self._parse(line, number))
                for number, line in enumerate(lines[1:], 2)
            ]
        elif text and not text.startswith(b'{"kind": "rlmesh'[: len(text)]):
            raise InvalidArgumentError(self._foreign())
        self._file = self._path.open("ab")
        # What a killed process had begun to write.
        self._file.truncate(len(whole))
        if not lines:
            self._write(header)

    def add(self, episode: Episode) -> None:
        """Appends an episode. From then on no kill of this process loses it.

        Raises:
            OSError: If it cannot be written, on a full disk for instance. The line is not there.
        """
        self._write(episode.to_dict())

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

    def _write(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data).encode() + b"\n"
        end = self._file.tell()
        try:
            # One write: another process sees the line whole, or not at all.
            self._file.write(line)
            self._file.flush()
        except OSError:
            os.truncate(self._path, end)
            raise

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            data = json.loads(line)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise InvalidArgumentError(
                f"{self._path}, line {number}, is damaged: it is no JSON object; remove that line, "
                f"and its episode is run again"
                if number > 1
                else self._foreign()
            )
        return data

    def _check(self, found: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        if found.get("kind") != _KIND:
            raise InvalidArgumentError(self._foreign())
        if found.get("version") != _VERSION:
            raise InvalidArgumentError(
                f"{self._path} is of version {found.get('version')!r} of its form, and this RLMesh "
                f"reads version {_VERSION}; go on with the RLMesh that began it"
            )
        if found.get("plan") != header["plan"]:
            raise InvalidArgumentError(
                f"{self._path} is of another evaluation, {json.dumps(found.get('plan'))}, and this "
                f"one is {json.dumps(header['plan'])}; give each evaluation a file of its own"
            )

    def _foreign(self) -> str:
        return (
            f"{self._path} is no file of an evaluation; give one that resume= has made, or a path "
            f"where there is no file yet"
        )
