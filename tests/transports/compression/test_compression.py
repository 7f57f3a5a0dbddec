"""Messages that cross in compressed form are the messages that were sent, or a clear error."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import zstandard

import rlmesh
from rlmesh.client import compression as client_compression
from rlmesh.codec.step.wire import sequence_of
from rlmesh.errors import InvalidArgumentError, ProtocolError, StateError
from rlmesh.server.rpc import stream as server_stream
from rlmesh.transports.compression import algorithms, messages, pipe, transport
from rlmesh.transports.pipe import Pipe
from rlmesh_api.v1 import session_pb2
from support.chaos import ChaosProxy
from support.comparing import assert_same
from support.pages import code, tables
from support.pipes import PLAN
from support.raw_sessions import RawSession, raw_session, strange_server
from support.serving import remote, remote_vector, serving

# It has no types.
lz4_block: Any = importlib.import_module("lz4.block")

ANY_PORT = "tcp://127.0.0.1:0"
LZ4, ZSTD = session_pb2.COMPRESSION_LZ4, session_pb2.COMPRESSION_ZSTD
IDENTITY = session_pb2.COMPRESSION_IDENTITY
ACTION = np.array([0.5, -0.25], np.float32)
TRANSPORTS = ("direct", "grpc")
WORDS = ("lz4", "zstd", "auto")


class Camera(gymnasium.Env[Any, Any]):
    """Films a line that moves, with noise at its edge; an episode has thirty steps."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._film(), {"seed": seed}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._film(), float(action[0]), self.steps == 30, False, {"step": self.steps}

    def _film(self) -> Any:
        frame = np.full((64, 64, 3), 40, np.uint8)
        frame[self.steps] = self.np_random.integers(0, 255, (64, 3), np.uint8)
        return frame


class Counted:
    """Counts what a side compresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes: list[tuple[int, int]] = []
        compress = algorithms.compress

        def counted(data: Any, compression: session_pb2.Compression.ValueType) -> bytes:
            made = compress(data, compression)
            self.bytes.append((len(data), len(made)))
            return made

        monkeypatch.setattr(messages, "compress", counted)


def told(env: Any, steps: int = 45) -> list[Any]:
    found = [env.reset(seed=3)]
    for _ in range(steps):
        found.append(env.step(ACTION))
        if found[-1][2]:
            found.append(env.reset())
    return found


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", TRANSPORTS)
def test_every_value_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: Any, word: Any
) -> None:
    counted = Counted(monkeypatch)
    with (
        serving(Camera(), direct=ANY_PORT) as server,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](server.address, transport=name, compression=word)
        ) as client,
    ):
        assert client.transport == name
        assert_same(told(client), told(Camera()))
    # Each answer has one frame, and these frames become less than a tenth.
    assert len(counted.bytes) >= (10 if word == "auto" else 45)
    assert all(made < size / 10 for size, made in counted.bytes)


@pytest.mark.parametrize("word", WORDS)
def test_a_request_that_is_larger_than_a_compressed_one_may_be_crosses_as_it_is(
    monkeypatch: pytest.MonkeyPatch, word: Any
) -> None:
    for module in (transport, pipe):
        monkeypatch.setattr(module, "MAX_COMPRESSED_REQUEST_BYTES", 4096)
    env = Camera()
    env.action_space = gymnasium.spaces.Box(-1, 1, (2048,), np.float32)
    with remote(env, transport="grpc", compression=word) as client:
        client.reset()
        for _ in range(15):
            assert client.step(np.full(2048, 0.5, np.float32))[1] == 0.5


def test_observations_are_the_callers_to_keep_and_to_write_on() -> None:
    with remote(Camera(), transport="grpc", compression="lz4") as client:
        first, _ = client.reset(seed=3)
        kept = first.copy()
        second = client.step(ACTION)[0]
        second[:] = 7
        client.step(ACTION)
        assert_same(first, kept)
        assert (second == 7).all()


def test_a_vector_of_several_servers_is_compressed_in_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch)
    actions = np.stack([ACTION, ACTION])
    with serving(Camera()) as one, serving(Camera()) as other:
        vector = rlmesh.RemoteVectorEnv[Any, Any](
            [one.address, other.address], transport="grpc", compression="zstd"
        )
        with vector:
            vector.reset(seed=[3, 4])
            observations = vector.step(actions)[0]
    twins = [Camera(), Camera()]
    for twin, seed in zip(twins, (3, 4), strict=True):
        twin.reset(seed=seed)
    assert_same(observations, np.stack([twin.step(ACTION)[0] for twin in twins]))
    assert len(counted.bytes) == 4


def test_a_vector_environment_of_one_server_is_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    local = gymnasium.vector.SyncVectorEnv([Camera, Camera])
    twin = gymnasium.vector.SyncVectorEnv([Camera, Camera])
    with remote_vector(local, transport="grpc", compression="lz4") as client:
        assert_same(client.reset(seed=3), twin.reset(seed=3))
        actions = np.stack([ACTION, ACTION])
        assert_same(client.step(actions), twin.step(actions))
    assert len(counted.bytes) == 2


def test_a_models_observations_are_compressed_on_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch)
    camera = Camera()

    def policy(observation: Any) -> Any:
        return np.full(2, observation.mean() / 255, np.float32)

    worker = rlmesh.ModelWorker(
        policy, observation_space=camera.observation_space, action_space=camera.action_space
    )
    with worker, rlmesh.RemoteModel(worker.address, transport="grpc", compression="zstd") as model:
        frame, _ = camera.reset(seed=3)
        model.reset(seed=1)
        assert_same(model.predict(frame), policy(frame))
    assert [size > 64 * 64 * 3 for size, _ in counted.bytes] == [True]


def test_an_isolated_environment_is_compressed_over_direct(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch)
    with (
        serving(Camera, direct=ANY_PORT, isolation="process") as server,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](server.address, transport="direct", compression="lz4")
        ) as client,
    ):
        assert_same(told(client, 10), told(Camera(), 10))
    assert len(counted.bytes) == 11


def test_shared_memory_is_never_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    with remote(Camera(), compression="zstd") as client:
        assert client.transport == "shm"
        assert_same(told(client), told(Camera()))
    assert not counted.bytes


def test_an_episode_goes_on_through_cuts() -> None:
    with (
        serving(Camera()) as server,
        ChaosProxy(5, faults=("cut",), every=(500, 4000), most=12) as proxy,
    ):
        proxy.lead_to(server.address)
        with contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](
                f"tcp://{proxy.authority}", transport="grpc", compression="lz4"
            )
        ) as client:
            proxy.begin()
            found = told(client, 100)
        assert len(proxy.happened) == 12
    assert_same(found, told(Camera(), 100))


def test_a_measured_choice_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rlmesh.client")
    with (
        remote(Camera(), transport="grpc", compression="auto") as client,
        pytest.MonkeyPatch.context() as patched,
    ):
        client.reset()
        # Every exchange takes longer than the one before, and zstd is measured first.
        times = itertools.accumulate(
            itertools.chain.from_iterable((0.0, 1e-3 * n) for n in itertools.count(1))
        )
        patched.setattr(transport, "perf_counter", lambda: next(times))
        for _ in range(20):
            client.step(ACTION)
    assert "the fastest compression is zstd now" in caplog.text


def plain_and_compressed(session: RawSession, made: Callable[[bytes], Any]) -> Any:
    """The answer to a compressed reset."""
    request = session_pb2.SessionRequest(sequence=2, reset=session_pb2.ResetCall(seed=b"\x03"))
    return session.call(2, compressed=made(request.SerializeToString()))


def as_zstd(message: bytes, answer: session_pb2.Compression.ValueType = ZSTD) -> Any:
    return session_pb2.CompressedMessage(
        compression=ZSTD,
        size=len(message),
        answer=answer,
        data=zstandard.ZstdCompressor().compress(message),
    )


def as_lz4(message: bytes, answer: session_pb2.Compression.ValueType = LZ4) -> Any:
    return session_pb2.CompressedMessage(
        compression=LZ4,
        size=len(message),
        answer=answer,
        data=lz4_block.compress(message, store_size=False),
    )


@pytest.mark.parametrize("made", [as_zstd, as_lz4])
def test_a_raw_client_reads_the_answer_with_the_public_libraries(
    made: Callable[[bytes], Any],
) -> None:
    with serving(Camera()) as server, raw_session(server.address) as session:
        assert list(session.opened.compressions) == [LZ4, ZSTD]
        answer = plain_and_compressed(session, made)
        data, size = answer.compressed.data, answer.compressed.size
        if answer.compressed.compression == LZ4:
            message = lz4_block.decompress(data, uncompressed_size=size)
        else:
            message = zstandard.ZstdDecompressor().decompress(data)
        plain = session_pb2.SessionResponse.FromString(message)
        assert (plain.sequence, answer.sequence) == (2, 2)
        assert plain.reset.observation == Camera().reset(seed=3)[0].tobytes()


def test_an_unknown_compression_of_the_answer_is_none() -> None:
    with serving(Camera()) as server, raw_session(server.address) as session:
        answer = plain_and_compressed(session, lambda message: as_lz4(message, 77))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # a newer client's
        assert answer.WhichOneof("answer") == "reset"


def _other(**changes: Any) -> Callable[[bytes], Any]:
    def made(message: bytes) -> Any:
        compressed = as_zstd(message)
        for name, value in changes.items():
            setattr(compressed, name, value)
        return compressed

    return made


def _bomb(message: bytes) -> Any:
    """A frame of a gigabyte that calls itself small."""
    frame = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    return session_pb2.CompressedMessage(compression=ZSTD, size=1000, data=frame)


def _block_of_many(message: bytes) -> Any:
    block = lz4_block.compress(bytes(1 << 24), store_size=False)
    return session_pb2.CompressedMessage(compression=LZ4, size=1000, data=block)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_other(data=b"no frame"), "no frame of Zstandard"),
        (_other(compression=LZ4, data=b"\xff" * 9), "no block of LZ4"),
        (_other(size=5), "are announced"),
        (_other(size=(1 << 26) + 1), "the limit is 67108864"),
        (_other(compression=9), "does not know the compression 9"),
        (_other(compression=IDENTITY), "are announced"),
        (_bomb, "header says 1073741824 bytes"),
        (_block_of_many, "no block of LZ4 for 1000 bytes"),
        (lambda _: as_zstd(session_pb2.SessionRequest(sequence=9).SerializeToString()), "another"),
    ],
    ids=["frame", "block", "size", "limit", "unknown", "identity", "bomb", "block-bomb", "number"],
)
def test_a_damaged_request_ends_its_session_and_no_other(
    made: Callable[[bytes], Any], words: str
) -> None:
    with serving(Camera, num_envs=None, sessions=2) as server:
        with (
            raw_session(server.address) as other,
            raw_session(server.address) as session,
        ):
            answer = plain_and_compressed(session, made)
            assert answer.failure.code == session_pb2.ERROR_CODE_PROTOCOL
            assert words in answer.failure.message
            session.wait_until_ended()
            assert other.call(2, reset=session_pb2.ResetCall()).WhichOneof("answer") == "reset"


def test_a_compressed_request_in_a_compressed_one_is_no_call() -> None:
    def twice(message: bytes) -> Any:
        inner = session_pb2.SessionRequest(sequence=2, compressed=as_zstd(message))
        return as_zstd(inner.SerializeToString())

    with serving(Camera()) as server, raw_session(server.address) as session:
        assert plain_and_compressed(session, twice).failure.code == session_pb2.ERROR_CODE_PROTOCOL


def test_a_damaged_answer_is_a_protocol_error() -> None:
    def behave(pipe: Pipe) -> None:
        received = pipe.receive()
        assert isinstance(received, tuple)
        buffer, start, end = received
        damaged = session_pb2.CompressedMessage(compression=LZ4, size=100, data=b"noise")
        sequence = sequence_of(bytes(buffer[start:end]))
        assert sequence is not None
        answer = session_pb2.SessionResponse(sequence=sequence, compressed=damaged)
        pipe.send(answer.SerializeToString())

    with (
        strange_server(Camera(), "direct", behave, PLAN) as address,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](
                address, transport="direct", compression="auto", reconnect=False
            )
        ) as client,
        pytest.raises(ProtocolError, match="sent a damaged answer: a compressed message"),
    ):
        client.reset()


def test_the_page_lists_every_compression() -> None:
    rows = tables("docs/transports.md")["Compression: `compression=`"]
    assert [code(row[0]) for row in rows] == [[f'"{word}"'] for word in ("none", *WORDS)]


def test_an_unknown_word_is_refused_before_a_connection() -> None:
    with pytest.raises(InvalidArgumentError, match="one of none, lz4, zstd, auto, got 'gzip'"):
        rlmesh.RemoteEnv("tcp://127.0.0.1:9", compression="gzip")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # refused


@pytest.mark.parametrize("word", ["zstd", "auto"])
def test_a_missing_package_is_named_before_a_connection(
    monkeypatch: pytest.MonkeyPatch, word: Any
) -> None:
    monkeypatch.setattr(client_compression, "available", tuple)
    with pytest.raises(StateError, match=r"pip install 'rlmesh\[compression\]'"):
        rlmesh.RemoteEnv("tcp://127.0.0.1:9", compression=word)


def test_a_server_without_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_stream, "available", tuple)
    with serving(Camera()) as server:
        with pytest.raises(StateError, match=f"the server at {server.address} does not know it"):
            rlmesh.RemoteEnv(server.address, transport="grpc", compression="zstd")
        with contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](server.address, transport="grpc", compression="auto")
        ) as client:
            assert_same(told(client, 5), told(Camera(), 5))
