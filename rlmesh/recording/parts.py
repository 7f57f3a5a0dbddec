"""Where recordings are: one file, or a folder with the parts of many."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError

ENDING: Final = ".mcap"
LEAST_BYTES: Final = 1 << 20
"""The least that `max_bytes` may be."""

# The files of a folder that may be removed: those that a `Place` has named.
_PART = re.compile(r".+-\d{8}T\d{6}-[0-9a-f]{8}-(\d{4,})\.mcap")
# A part takes so much of what all may take; what is removed is a whole part.
_SHARE = 8
# Where parts that are being written take all of it, they end at so many bytes.
_LEAST_PART_BYTES = 1 << 16
# Without a limit, parts are as large as this: the index of a part stays in memory until its end.
_PART_BYTES = 1 << 30
_PART_CHUNKS = 20_000


class Place:
    """Where one recording is written. One thread at a time may call the methods.

    Args:
        path: A file whose name ends in `.mcap`, which must not exist; or a folder, which is made
            where there is none.
        name: What the names of files in a folder begin with.
        max_bytes: What the recordings of the folder may take; those written first are removed.
            None: there is no limit.

    Raises:
        InvalidArgumentError: If there is such a file, `max_bytes` is too small, or given for a
            file.
        ArgumentTypeError: If `path` is no path, or `max_bytes` no integer.
        OSError: If the folder cannot be made.
    """

    def __init__(
        self, path: str | os.PathLike[str], name: str, max_bytes: int | None = None
    ) -> None:
        given = self._given = check_place(path, max_bytes)
        self._max_bytes = max_bytes
        self._crowded = False
        self._folder: Path | None = None if given.suffix == ENDING else given
        if self._folder is None:
            if given.exists() or given.is_symlink():
                raise InvalidArgumentError(
                    f"{given} exists already, and no recording is overwritten; give another path, "
                    f"or a folder, in which each recording has its own file"
                )
            given.parent.mkdir(parents=True, exist_ok=True)
            return
        if given.exists() and not given.is_dir():
            raise InvalidArgumentError(
                f"{given} is a file, and no recording is overwritten; give a path that ends in "
                f"{ENDING} and does not exist yet, or a folder"
            )
        given.mkdir(parents=True, exist_ok=True)
        began = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        word = re.sub(r"[^\w.-]+", "-", name)
        self._stem = f"{word}-{began}-{secrets.token_hex(4)}"

    @property
    def part_bytes(self) -> int:
        """How many bytes a part has at the next reset, at most."""
        if self._max_bytes is None:
            return _PART_BYTES
        return _LEAST_PART_BYTES if self._crowded else self._max_bytes // _SHARE

    def part(self, number: int) -> Path:
        """The path of a part."""
        if self._folder is None:
            return self._given
        return self._folder / f"{self._stem}-{number:04}{ENDING}"

    def is_full(self, size: int, chunks: int, *, at_reset: bool) -> bool:
        """Whether another part should begin.

        Args:
            size: How many bytes the part has.
            chunks: How many times it was written to.
            at_reset: Whether a reset comes next; else the part may grow to the double size.
        """
        if self._folder is None:
            return False
        times = 1 if at_reset else 2
        return size >= times * self.part_bytes or chunks >= times * _PART_CHUNKS

    def make_room(self, count: int) -> None:
        """Removes the oldest parts of the folder, until there is room for so many bytes more.

        A part that is being written is never removed, nor any file that no `Place` has named.
        """
        if self._folder is None or self._max_bytes is None:
            return
        found = sorted(_sizes(self._folder))
        total = sum(size for _, _, size in found) + count
        for _, path, size in found:
            if total <= self._max_bytes:
                break
            if _removed(path):
                total -= size
        self._crowded = total > self._max_bytes


def check_place(path: object, max_bytes: object) -> Path:
    """The path where recordings are to be written; raises as `Place` does for wrong arguments."""
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"the path of a recording is a file that ends in {ENDING}, or a folder, got "
            f"{path!r:.80}"
        )
    given = Path(os.fspath(path))
    if max_bytes is None:
        return given
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int):
        raise ArgumentTypeError(f"max_bytes must be an integer or None, got {max_bytes!r:.80}")
    if max_bytes < LEAST_BYTES:
        raise InvalidArgumentError(
            f"max_bytes must be {LEAST_BYTES} or more, got {max_bytes}: less holds no episodes"
        )
    if given.suffix == ENDING:
        raise InvalidArgumentError(
            f"max_bytes needs a folder, whose oldest files are removed, got the file {given}; give "
            f"a path that does not end in {ENDING}"
        )
    return given


def check_folder(path: object, max_bytes: object) -> Path:
    """The folder where recordings are to be written, made where there is none.

    Raises:
        InvalidArgumentError: If it is a file, cannot be made or written to, or `max_bytes` is too
            small.
        ArgumentTypeError: If `path` is no path, or `max_bytes` no integer.
    """
    given = check_place(path, max_bytes)
    if given.suffix == ENDING:
        raise InvalidArgumentError(
            f"record= takes a folder, in which each environment has its own files, got {given}; "
            f"leave out {ENDING}"
        )
    try:
        given.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgumentError(
            f"the folder {given} for recordings cannot be made: {error.strerror}"
        ) from error
    try:
        tempfile.TemporaryFile(dir=given).close()
    except OSError as error:
        raise InvalidArgumentError(
            f"the folder {given} for recordings cannot be written to: {error.strerror}"
        ) from error
    return given.absolute()


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """The files of recordings at a path: the file itself, or those of a folder, sorted by name.

    Raises:
        InvalidArgumentError: If there is none.
    """
    given = Path(os.fspath(path))
    if not given.is_dir():
        return [given]
    # A part that was begun on a full disk, or just now, holds nothing.
    found = sorted(each for each in given.glob(f"*{ENDING}") if not _is_empty(each))
    if not found:
        raise InvalidArgumentError(f"there is no recording in {given}: no file ends in {ENDING}")
    return found


def _is_empty(path: Path) -> bool:
    try:
        return not path.stat().st_size
    except FileNotFoundError:
        return True  # another recording has removed it


def _sizes(folder: Path) -> Iterator[tuple[int, Path, int]]:
    """When each part was written last, its path and its size."""
    for path in folder.iterdir():
        if _PART.fullmatch(path.name):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another recording has removed it
            yield status.st_mtime_ns, path, status.st_size


def _removed(path: Path) -> bool:
    """Removes a part; whether it is gone. One that is being written stays."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
