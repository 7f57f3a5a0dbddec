"""Files of MCAP: written so that nothing is left half written, and read as far as they are whole.

MCAP itself is read and written by its own package, which the extra `record` brings.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import io
import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from rlmesh._version import __version__
from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.foreign_text import one_line
from rlmesh_api.v1 import recording_pb2

PROFILE: Final = "rlmesh"
ABOUT: Final = "recording"
"""The topic of what says what was recorded."""
CALLS: Final = "calls"
"""The topic of what happened."""

_MESSAGES: Mapping[str, type[Message]] = {
    ABOUT: recording_pb2.Recording,
    CALLS: recording_pb2.RecordedCalls,
}
_MAGIC = bytes([0x89, *b"MCAP0\r\n"])
# Larger lengths stand in damaged files alone.
_LARGEST_RECORD = 1 << 31
# A chunk ends with the message that takes it over 4 MiB, and protobuf's messages end at 2 GiB.
_LARGEST_CHUNK = (1 << 31) + (1 << 22)
# What mcap, struct and a decompressor raise for damaged bytes, besides their own errors.
_DAMAGE = (ValueError, LookupError, OverflowError, MemoryError, RuntimeError, struct.error)


def mcap(name: str) -> Any:
    """A module of the package `mcap`.

    Raises:
        StateError: If that package is not installed.
    """
    try:
        return importlib.import_module(f"mcap.{name}")
    except ImportError as error:
        raise StateError(
            "recordings are written and read by the package mcap, which is not installed; "
            "pip install 'rlmesh[record]'"
        ) from error


class ContainerWriter:
    """One file. One thread at a time may call the methods.

    Args:
        path: The file, which must not exist.
        make_room: Called with a number of bytes before they are written.

    Attributes:
        path: The same.
        size: How many bytes the file has.
        chunks: How many times something was written.

    Raises:
        FileExistsError: If there is such a file.
        OSError: If it cannot be made.
        StateError: If the package `mcap` is not installed.
    """

    def __init__(self, path: Path, make_room: Callable[[int], None]) -> None:
        module = mcap("writer")
        self.path = path
        self.size: int = 0
        self.chunks: int = 0
        self._make_room = make_room
        self._pending = _Pending()
        self._file = path.open("xb", buffering=0)
        try:
            _lock(self._file.fileno())
            self._writer = module.Writer(self._pending, chunk_size=1 << 22)
            self._writer.start(profile=PROFILE, library=f"rlmesh {__version__}")
            self._channels = {topic: self._channel(topic) for topic in _MESSAGES}
        except BaseException:
            self._file.close()
            raise

    def add(self, topic: str, message: bytes, time: int) -> None:
        """Adds a message; `flush` writes it.

        Args:
            topic: `ABOUT` or `CALLS`.
            message: The message.
            time: When it was made, in nanoseconds since 1970.
        """
        self._writer.add_message(self._channels[topic], time, message, time)

    def flush(self) -> None:
        """Writes what was added. From then on no kill of this process loses it.

        Raises:
            OSError: If it cannot be written. The file is as before.
        """
        self._writer.flush()
        self._write()

    def close(self) -> None:
        """Writes what was added and the index, and closes the file.

        Raises:
            OSError: If it cannot be written. The file is closed all the same.
        """
        try:
            self._writer.finish()
            self._write()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is, without an index; one without anything is removed."""
        self._file.close()
        if not self.size:
            self.path.unlink(missing_ok=True)

    def _channel(self, topic: str) -> int:
        descriptor = _MESSAGES[topic].DESCRIPTOR
        schema = self._writer.register_schema(
            descriptor.full_name, "protobuf", _descriptors(descriptor.file)
        )
        channel: int = self._writer.register_channel(topic, "protobuf", schema)
        return channel

    def _write(self) -> None:
        rest = memoryview(self._pending.take())
        if not rest:
            return
        if not os.fstat(self._file.fileno()).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "somebody has removed it")
        self._make_room(len(rest))
        before = self.size
        try:
            while rest:
                written = self._file.write(rest)
                self.size += written
                rest = rest[written:]
        except OSError:
            self._file.truncate(before)
            self.size = before
            raise
        self.chunks += 1


class _Pending(io.BytesIO):
    """Where `mcap` writes to: it is asked for its place, and emptied in between."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def tell(self) -> int:
        """How many bytes were written in all."""
        return self._taken + super().tell()

    def take(self) -> bytes:
        """What was written since the last time."""
        data = self.getvalue()
        self._taken += len(data)
        self.seek(0)
        self.truncate()
        return data


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a file ends to be readable.

    Attributes:
        path: The file.
        size: How many bytes of it are whole, from its beginning.
        lost: How many bytes stand behind those.
        reason: What is wrong there.
    """

    path: Path
    size: int
    lost: int
    reason: str

    def __str__(self) -> str:
        """It as a sentence."""
        if not self.lost:
            return f"{self.path}: {self.reason}; nothing that was written is lost"
        return (
            f"{self.path}: {self.reason}; the first {self.size} bytes are whole, the {self.lost} "
            f"after them were left out"
        )


def read_container(path: Path, damaged: Callable[[Damage], None]) -> Iterator[tuple[str, bytes]]:
    """The messages of a file, with their topics, as far as the file is whole.

    Args:
        path: The file.
        damaged: Called where the file has no end: its writer was killed, or it was cut.

    Raises:
        InvalidArgumentError: If it is no file of MCAP, or cannot be read.
        StateError: If the package `mcap` is not installed.
    """
    zstd_error: Any = importlib.import_module("zstandard").ZstdError
    errors = (mcap("exceptions").McapError, zstd_error, *_DAMAGE)
    reader, records = mcap("stream_reader"), mcap("records")
    with _opened(path) as file:
        total = os.fstat(file.fileno()).st_size
        whole = len(_MAGIC)
        topics: dict[int, str] = {}
        stream = iter(
            reader.StreamReader(
                _Grown(file, total), emit_chunks=True, record_size_limit=min(total, _LARGEST_RECORD)
            ).records
        )
        try:
            for record in stream:
                inside = [record]
                if isinstance(record, records.Chunk):
                    _check_size(record)
                    inside = reader.breakup_chunk(record, validate_crc=True)
                for each in inside:
                    if isinstance(each, records.Channel):
                        topics[each.id] = each.topic
                    elif isinstance(each, records.Message) and each.channel_id in topics:
                        yield topics[each.channel_id], each.data
                whole = file.tell()
                if isinstance(record, records.DataEnd):
                    return
        except errors as error:
            damaged(Damage(path, whole, total - whole, _reason(error, total - whole)))


def _check_size(chunk: Any) -> None:
    """Checks how many bytes a chunk becomes, before it takes them.

    Raises:
        ValueError: If that is more than a recording has, or not what it declares.
    """
    if chunk.compression == "zstd":
        held: int = importlib.import_module("zstandard").frame_content_size(chunk.data)
    elif not chunk.compression:
        held = len(chunk.data)
    else:
        raise ValueError(f"it is compressed by {one_line(chunk.compression)}, and not by zstd")
    if held != chunk.uncompressed_size or held > _LARGEST_CHUNK:
        raise ValueError(f"a chunk of {held} bytes declares {chunk.uncompressed_size}")


class _Grown:
    """A file as long as it was when it was opened: its writer may still write."""

    def __init__(self, file: io.BufferedReader, total: int) -> None:
        self._file = file
        self._total = total

    def read(self, count: int) -> bytes:
        """The next bytes, fewer where it ends."""
        return self._file.read(min(count, self._total - self._file.tell()))


def _opened(path: Path) -> io.BufferedReader:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # To open a pipe would wait for its writer.
            raise InvalidArgumentError(f"the recording {path} cannot be read: it is no file")
        file = path.open("rb")
    except OSError as error:
        raise InvalidArgumentError(
            f"the recording {path} cannot be read: {error.strerror}"
        ) from error
    beginning = file.peek(len(_MAGIC))[: len(_MAGIC)]
    if beginning != _MAGIC:
        file.close()
        raise InvalidArgumentError(
            f"{path} is no recording: it does not begin as a file of MCAP does; give a file that "
            f"rlmesh.Recorder, EnvServer(record=) or rlmesh evaluate --record has written"
        )
    return file


def _reason(error: BaseException, lost: int) -> str:
    kind = type(error).__name__
    # A record that would be longer than the whole file was cut, too.
    if kind not in {"EndOfFile", "RecordLengthLimitExceeded"}:
        return f"it is damaged, {kind}: {one_line(str(error))}"
    if lost:
        return "it ends in the middle of a record"
    return "it was not closed, because its writer was killed or still writes"


def _descriptors(file: Any) -> bytes:
    """A file of the schema and all that it imports, as MCAP has it beside messages."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(each: Any) -> None:
        if each.name in found:
            return
        for needed in each.dependencies:
            add(needed)
        proto = found[each.name] = descriptor_pb2.FileDescriptorProto()
        each.CopyToProto(proto)

    add(file)
    return descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString()


def _lock(descriptor: int) -> None:
    """Marks a file as being written: the kernel takes the mark back however the process ends."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
