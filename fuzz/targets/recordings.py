"""Recordings, as `rlmesh record show`, `rlmesh export` and `rlmesh replay` read them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator, Iterable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from fuzz import golden
from fuzz.messages import message_mutator
from fuzz.target import Feed, Target
from rlmesh.errors import InvalidArgumentError
from rlmesh.exporting.episodes import EpisodeReader
from rlmesh.recording.container import ABOUT, CALLS, mcap, read_container
from rlmesh.recording.reading import open_recordings
from rlmesh.recording.summary import summarize
from rlmesh_api.v1 import recording_pb2

_MUTATORS = {
    ABOUT: message_mutator(recording_pb2.Recording),
    CALLS: message_mutator(recording_pb2.RecordedCalls),
}


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fed.mcap"

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            try:
                for files in open_recordings(path):
                    summarize(files)
                    for _ in EpisodeReader([files]).episodes():
                        pass
            except InvalidArgumentError:
                return

        yield feed


def _mutate(data: bytes, random: Random) -> bytes | None:
    """Another file with a changed message; bytes alone would fail at a checksum."""
    try:
        messages = list(_messages(data))
    except InvalidArgumentError:
        return None
    if not messages or random.random() < 0.2:
        return None
    at = random.randrange(len(messages))
    topic, message = messages[at]
    chosen = random.random()
    if chosen < 0.1:
        del messages[at]
    elif chosen < 0.2:
        messages.insert(random.randrange(len(messages) + 1), (topic, message))
    else:
        mutated = _MUTATORS[topic](message, random) if topic in _MUTATORS else None
        if mutated is None:
            return None
        messages[at] = (topic, mutated)
    return _packed(messages)


def _messages(data: bytes) -> Iterable[tuple[str, bytes]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.mcap"
        path.write_bytes(data)
        yield from read_container(path, lambda _: None)


def _packed(messages: Iterable[tuple[str, bytes]]) -> bytes:
    """A file without compression and checksums, into which the fuzzer sees."""
    module = mcap("writer")
    file = io.BytesIO()
    writer: Any = module.Writer(
        file, compression=module.CompressionType.NONE, enable_crcs=False, use_chunking=True
    )
    writer.start(profile="rlmesh", library="")
    channels: dict[str, int] = {}
    for topic, message in messages:
        if topic not in channels:
            schema = writer.register_schema(topic, "protobuf", b"")
            channels[topic] = writer.register_channel(topic, "protobuf", schema)
        writer.add_message(channels[topic], 0, message, 0)
    writer.finish()
    return file.getvalue()


def _seeds() -> Iterable[bytes]:
    for data in golden.recordings():
        yield data
        yield _packed(_messages(data))


RECORDINGS = Target(
    "recordings",
    "recordings, as files hold them",
    _opened,
    _seeds,
    _mutate,
    longest=1 << 14,
    short_runs=1000,
)
