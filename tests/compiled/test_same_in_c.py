"""The parts of a step in C give what those in Python give, and refuse what those refuse."""

from __future__ import annotations

import gc
import math
import mmap
import struct
import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from rlmesh import compiled
from rlmesh.codec.checks import fast_checks
from rlmesh.codec.checks.domains import NumericDomain, find_domains
from rlmesh.codec.checks.policy import Nan, Policy
from rlmesh.codec.infos import fast_packing
from rlmesh.codec.infos.packed_arrays import SMALL
from rlmesh.codec.slab import single_leaf
from rlmesh.codec.slab.layout import BufferTooSmallError, Layout, compile_layout
from rlmesh.codec.slab.violations import Violation
from rlmesh.codec.step import plain, result, wire
from rlmesh.codec.step.result import StepResultCodec, compile_step_result
from rlmesh.codec.step.wire import PREFIX, STEP, write_sequence
from rlmesh.contract import EnvContract
from rlmesh.server.envs.codecs import Codecs
from rlmesh.server.envs.infos import InfoPacker
from rlmesh.server.envs.step import StepExecutor
from rlmesh.server.failures import CallFailedError
from rlmesh.server.timings import Timings
from rlmesh.spaces import from_gymnasium_space
from rlmesh.transports.pipe import RESERVED
from rlmesh.transports.shm.doorbell import LINE
from rlmesh.transports.shm.segment_end import HEADER, PythonSegmentEnd

STEP_IN_C = compiled.step
pytestmark = pytest.mark.skipif(STEP_IN_C is None, reason=f"it runs {compiled.describe()}")

SPACES: dict[str, spaces.Space[Any]] = {
    "state": spaces.Box(-1.0, 1.0, (4,), np.float32),
    "no axis": spaces.Box(-np.inf, np.inf, (), np.float64),
    "unbounded above": spaces.Box(0.0, np.inf, (2, 3), np.float64),
    "bytes": spaces.Box(0, 255, (2, 2, 3), np.uint8),
    "small integers": spaces.Box(-3, 3, (5,), np.int16),
    "large integers": spaces.Box(0, 2**63, (2,), np.uint64),
    "half": spaces.Box(-1.0, 1.0, (3,), np.float16),
    "flags": spaces.Box(0, 1, (3,), cast("Any", np.bool_)),
    "number": spaces.Discrete(5, start=-2),
    "narrow number": spaces.Discrete(3, dtype=np.int8),
    "many": spaces.Discrete(10_000),
    "digits": spaces.MultiDiscrete([3, 4, 5]),
    "bits": spaces.MultiBinary(7),
}
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.booleans(),
    st.binary(max_size=8),
    st.lists(st.integers(-5, 5) | st.floats(), max_size=6),
    st.sampled_from([np.int64(2), np.int32(-1), np.int8(3), np.uint64(2**64 - 1), np.bool_(True)]),
    st.builds(
        lambda shape, dtype, fill: np.full(shape, fill).astype(dtype),
        st.sampled_from([(), (1,), (4,), (2, 3), (5,), (2, 2, 3), (3,), (7,), (2,)]),
        st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.int16, np.uint8, bool]),
        st.integers(0, 3),
    ),
    st.builds(lambda: np.zeros((8,), np.float32)[::2]),
)


def in_python(make: Callable[[], Any]) -> Any:
    """What is made while C is switched off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_leaf, "compiled", None)
        patch.setattr(fast_checks, "compiled", None)
        patch.setattr(result, "MESSAGES", None)
        patch.setattr(plain, "compiled", None)
        return make()


def outcome(call: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    """What a call returns or raises, so that two can be compared."""
    try:
        returned = call(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, both must raise it
        return type(error), str(error)
    if isinstance(returned, np.ndarray | np.generic):
        return type(returned), returned.dtype, returned.shape, returned.tobytes()
    return (returned,)


def layouts(name: str) -> tuple[Layout, Layout]:
    space = from_gymnasium_space(SPACES[name])
    return compile_layout(space), in_python(lambda: compile_layout(space))


@pytest.mark.parametrize("name", SPACES)
@given(VALUES)
def test_values_are_encoded_alike(name: str, value: Any) -> None:
    ours, python = layouts(name)
    assert outcome(ours.encode, value, []) == outcome(python.encode, value, [])
    for size in (ours.size + 5, ours.size + 4):
        left, right = bytearray(b"\xaa" * size), bytearray(b"\xaa" * size)
        assert outcome(ours.encode_into, value, left, 5, []) == outcome(
            python.encode_into, value, right, 5, []
        )
        assert left == right


@pytest.mark.parametrize("name", SPACES)
@given(st.data())
def test_slabs_are_decoded_alike(name: str, data: st.DataObject) -> None:
    ours, python = layouts(name)
    slab = data.draw(st.binary(min_size=max(0, ours.size - 1), max_size=ours.size + 6))
    offset = data.draw(st.integers(0, 6))
    nbytes = data.draw(st.sampled_from([None, ours.size, ours.size - 1, -1]))
    for copy in (True, False):
        arguments = slab, offset, nbytes, copy
        assert outcome(ours.decode, *arguments) == outcome(python.decode, *arguments)
    assert outcome(lambda: ours.decode(slab, copy=True)) == outcome(
        lambda: python.decode(slab, copy=True)
    )


def test_a_decoded_array_belongs_to_its_reader() -> None:
    ours, _ = layouts("state")
    slab = bytearray(np.arange(4, dtype=np.float32).tobytes())
    array = ours.decode(slab)
    slab[:] = bytes(16)
    array += 1
    assert array.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", [name for name in SPACES if name != "half"])
@pytest.mark.parametrize("nan", Nan)
@given(st.data())
def test_slabs_are_checked_alike(name: str, nan: Nan, data: st.DataObject) -> None:
    space = from_gymnasium_space(SPACES[name])
    layout = compile_layout(space)
    domains = [
        one
        for one in find_domains(layout.leaves, space, None, nan)
        if isinstance(one, NumericDomain)
    ]
    ours = fast_checks.compile_fast_check(domains)
    python = in_python(lambda: fast_checks.compile_fast_check(domains))
    code, count = layout.leaves[0].code, layout.leaves[0].count
    edges = {"f": [math.nan, math.inf, -math.inf, -1.0, 1.0, 1.5], "d": [math.nan, 0.0, -0.5]}
    elements = st.sampled_from(edges.get(code, [0, 1, 2]))
    drawn = data.draw(st.lists(elements, min_size=count, max_size=count))
    slab = (
        data.draw(st.binary(min_size=layout.size, max_size=layout.size))
        if code == "?"
        else (struct.pack(f"<{count}{code}", *drawn))
    )
    assert ours(b"\xff" + slab, 1) == python(b"\xff" + slab, 1)


def codecs() -> tuple[StepResultCodec, StepResultCodec]:
    return compile_step_result(None), in_python(lambda: compile_step_result(None))


ANSWERS = st.tuples(
    st.floats(), st.booleans(), st.booleans(), st.binary(max_size=40), st.binary(max_size=200)
)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=300), st.binary(max_size=60))
def test_requests_are_the_same_bytes(sequence: int, action: bytes, noise: bytes) -> None:
    message = wire.write_action(sequence, action)
    assert message == wire._write_action(sequence, action)
    for one in (message, message[:-1], message + b"\0", noise, noise + message):
        assert wire.read_action(one) == wire._read_action(one)


@given(ANSWERS, st.data())
def test_answers_are_the_same_bytes_and_damaged_ones_are_read_alike(
    answer: tuple[float, bool, bool, bytes, bytes], data: st.DataObject
) -> None:
    reward, terminated, truncated, slab, info = answer
    ours, python = codecs()
    buffers = []
    for codec in (ours, python):
        buffer = bytearray(400)
        begin = 3 + PREFIX
        buffer[begin + codec.head : begin + codec.head + len(slab)] = slab
        numbers = reward, terminated, truncated
        end = codec.write(buffer, begin, STEP, begin + codec.head + len(slab), numbers, info)
        write_sequence(buffer, 3, 7)
        buffers.append(buffer[:end])
    assert buffers[0] == buffers[1]
    damaged = buffers[0]
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 2))
    arguments = damaged, 3, len(damaged) - cut, 7
    left, right = ours.read_answer(*arguments), python.read_answer(*arguments)
    assert (left is None) == (right is None)
    if left is not None and right is not None:
        assert struct.pack("d", left[0]) == struct.pack("d", right[0])
        assert left[1:] == right[1:]


class Memory:
    """A reserved buffer; see `Outbox`."""

    reserved = RESERVED

    def __init__(self) -> None:
        self.buffer = bytearray(b"\xaa" * 600)

    def reserve(self, nbytes: int, keep: int = 0) -> bytearray:
        assert nbytes <= len(self.buffer)
        return self.buffer

    def post(self, start: int, end: int) -> None:
        raise AssertionError("a step only writes its answer")


class Scripted:
    """An environment whose step returns what it is given, and says which action it got."""

    def __init__(self, returned: Any) -> None:
        self.returned = returned
        self.action: Any = None

    def step(self, action: Any) -> Any:
        self.action = action
        return self.returned


def stepped(observed: str, acted: str, returned: Any, slab: bytes) -> tuple[Any, ...]:
    """The answer's bytes of a server's step or its failure, and the action that the step got."""
    contract = EnvContract(
        id="",
        num_envs=1,
        observation_space=from_gymnasium_space(SPACES[observed]),
        action_space=from_gymnasium_space(SPACES[acted]),
    )
    env, memory = Scripted(returned), Memory()
    timings = Timings()
    executor = StepExecutor(
        env, Codecs(contract, None, Policy.WARN), InfoPacker(Policy.WARN, None), timings, None
    )
    try:
        start, end = executor.step(7, slab, memory)
    except CallFailedError as error:
        failure = error.failure
        return failure.code, failure.message, outcome(lambda: env.action)
    return bytes(memory.buffer[start:end]), outcome(lambda: env.action)


RESULTS = st.tuples(
    VALUES,
    st.floats() | st.integers(-3, 3) | st.just(np.float64(0.5)),
    st.booleans() | st.just(np.True_) | st.just(1),
    st.booleans(),
    st.sampled_from([{}, {}, {"a": 1}, None]),
)


def member(name: str, number: int) -> Any:
    """A value as the space's `sample` makes them."""
    space = SPACES[name]
    return np.full(space.shape or (), number, space.dtype)


@pytest.mark.parametrize(
    ("observed", "acted"),
    [
        ("state", "number"),
        ("bytes", "state"),
        ("no axis", "digits"),
        ("number", "half"),
        ("half", "many"),
    ],
)
@given(st.data())
def test_a_servers_steps_are_alike(observed: str, acted: str, data: st.DataObject) -> None:
    returned: Any = data.draw(
        RESULTS.map(lambda result: (member(observed, int(result[3])), *result[1:]))
        | RESULTS
        | RESULTS.map(list)
    )
    size = compile_layout(from_gymnasium_space(SPACES[acted])).size
    slab = data.draw(
        st.binary(min_size=size, max_size=size) | st.binary(max_size=20) | st.just(bytes(size))
    )
    ours = stepped(observed, acted, returned, slab)
    assert ours == in_python(lambda: stepped(observed, acted, returned, slab))


@pytest.mark.parametrize("observed", ["state", "no axis", "bytes", "large integers", "bits"])
def test_what_an_environment_samples_is_written_in_one_call(observed: str) -> None:
    space = from_gymnasium_space(SPACES[observed])
    layout = compile_layout(space)
    domains = [
        one for one in find_domains(layout.leaves, space, None) if isinstance(one, NumericDomain)
    ]
    write = plain.compile_plain_result(layout, fast_checks.compile_fast_check(domains))
    assert write is not None
    returned: Any = member(observed, 1), 1.0, False, True, {}
    buffer = bytearray(200)
    end = write(returned, buffer, 50, STEP, 2**64 - 1)
    assert end is not None
    assert end == 50 + compile_step_result(None).head + layout.size
    assert write(returned, bytearray(end - 1), 50, STEP) is None
    assert write(returned, buffer, PREFIX - 1, STEP, 3) is None, "no place for the sequence"
    read = plain.compile_plain_answer(layout)
    assert read is not None
    found = read(buffer, 50 - PREFIX, end, 2**64 - 1)
    assert found is not None
    assert outcome(lambda: found[0]) == outcome(lambda: returned[0])
    assert found[1:] == returned[1:]


@pytest.mark.parametrize("observed", ["state", "no axis", "bytes", "large integers", "bits"])
@given(st.data())
def test_answers_are_read_alike_in_one_call(observed: str, data: st.DataObject) -> None:
    layout, in_python_alone = layouts(observed)
    form = in_python(lambda: compile_step_result(None))
    begin = PREFIX + form.head
    buffer = bytearray(begin) + data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    info = data.draw(st.sampled_from([b"", b"", b"info"]))
    end = len(buffer)
    buffer += bytes(20)
    numbers = data.draw(st.floats()), data.draw(st.booleans()), data.draw(st.booleans())
    end = form.write(buffer, PREFIX, STEP, end, numbers, info)
    write_sequence(buffer, 0, 5)
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, end - 1), st.integers(0, 255)), max_size=2)
    ):
        buffer[place] = value
    end += data.draw(st.sampled_from([0, 0, 1, -1]))
    sequence = data.draw(st.sampled_from([5, 5, 6]))

    read = plain.compile_plain_answer(layout)
    assert read is not None
    ours = read(buffer, 0, end, sequence)
    found = form.read_answer(buffer, 0, end, sequence)
    if ours is None:
        assert found is None or found[6] or found[5] != layout.size
        return
    assert found is not None
    reward, terminated, truncated, _, start, nbytes, packed = found
    observation = in_python_alone.decode(buffer, start, nbytes, True)
    assert outcome(lambda: ours[0]) == outcome(lambda: observation)
    assert struct.pack("d", ours[1]) == struct.pack("d", reward)
    assert (*ours[2:4], packed) == (terminated, truncated, b"")
    assert ours[4] == {}
    assert type(ours[2]) is type(ours[3]) is bool


def ends(kind: Callable[..., Any]) -> tuple[Any, Any, list[mmap.mmap]]:
    maps = [mmap.mmap(-1, 4096) for _ in range(3)]
    lines, request, answer = maps
    return (
        kind(lines, request, answer, 0, LINE),
        kind(lines, answer, request, LINE, 0),
        maps,
    )


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from([0, 0, 1, 2**64 - 1]))
def test_headers_of_the_other_side_are_believed_alike(start: int, end: int, elsewhere: int) -> None:
    assert STEP_IN_C is not None
    found = []
    for kind in (STEP_IN_C.SegmentEnd, PythonSegmentEnd):
        client, server, (_, request, _) = ends(kind)
        for first, last in ((start, end), (RESERVED, end % 5000), (start % 5000, 4096)):
            HEADER.pack_into(request, 0, first, last, elsewhere)
            client.announce()
            found.append((server.receive(0, 1), (server.receive(1, 1) or (0,))[1:]))
            request[:24] = bytes(24)
            client, server, (_, request, _) = ends(kind)
    assert found[:3] == found[3:]


@pytest.mark.parametrize("kind", ["C", "Python"])
def test_a_side_counts_its_posts_and_says_whether_the_other_sleeps(kind: str) -> None:
    assert STEP_IN_C is not None
    client, server, (lines, request, answer) = ends(
        STEP_IN_C.SegmentEnd if kind == "C" else PythonSegmentEnd
    )
    assert client.send(b"ask") is False
    assert server.look(1, 1)
    assert not server.look(2, 10)
    area, start, end = server.receive(1, 1)
    assert (area, request[start:end]) == (request, b"ask")
    client.sleeps(True)
    assert server.post(RESERVED, RESERVED) is True
    client.sleeps(False)
    for _ in range(255):
        assert server.post(RESERVED, RESERVED) is False
    assert client.look(0, 1), "256 posts are none"
    with pytest.raises((ValueError, IndexError)):
        client.send(bytes(5000))
    assert (lines[0], answer[24:30]) == (1, bytes(6)), "what did not fit was not posted"


REFUSALS = TypeError, ValueError, OverflowError, BufferError, BufferTooSmallError, Violation
JUNK: list[Any] = [None, -1, 2**70, "x", b"", bytearray(3), 1.5, (), object(), [1], -(2**63)]


@given(st.lists(st.sampled_from(JUNK), max_size=7))
def test_junk_is_an_error_and_nothing_worse(arguments: list[Any]) -> None:
    assert STEP_IN_C is not None
    messages = STEP_IN_C.Messages(bytes(range(9)))
    check = STEP_IN_C.Check(((0, "f", -1.0, 1.0, False),))
    end, _, _maps = ends(STEP_IN_C.SegmentEnd)
    array, _ = layouts("state")
    number, _ = layouts("number")
    leaf = array.encode_into.__self__  # type: ignore[attr-defined] # a method of the extension
    action, written, answered = (
        STEP_IN_C.PlainAction(leaf, check),
        STEP_IN_C.PlainResult(messages, leaf, check),
        STEP_IN_C.PlainAnswer(messages, leaf),
    )
    calls: list[Callable[..., Any]] = [
        messages.write_action,
        messages.read_action,
        messages.write_result,
        messages.read_answer,
        check.holds,
        end.send,
        end.post,
        end.sleeps,
        array.encode_into,
        array.decode,
        number.encode,
        number.decode,
        STEP_IN_C.Messages,
        STEP_IN_C.Check,
        STEP_IN_C.ArrayLeaf,
        STEP_IN_C.ScalarLeaf,
        STEP_IN_C.SegmentEnd,
        action.step,
        written.write,
        answered.read,
        STEP_IN_C.PlainAction,
        STEP_IN_C.PlainResult,
        STEP_IN_C.PlainAnswer,
    ]
    for call in calls:
        try:
            call(*arguments)
        except REFUSALS:
            continue


def test_a_step_leaves_no_memory_behind() -> None:
    ours, _ = codecs()
    state, number = layouts("state")[0], layouts("number")[0]
    buffer = bytearray(200)
    value = np.zeros(4, np.float32)
    assert STEP_IN_C is not None
    check = STEP_IN_C.Check(((0, "b", 0, 1, False),)).holds
    action = plain.compile_plain_action(number, check)
    write = plain.compile_plain_result(state, check)
    read = plain.compile_plain_answer(state)
    assert action is not None
    assert write is not None
    assert read is not None
    env, failing = Scripted(None), Scripted(None)
    failing.step = failing.action  # type: ignore[method-assign] # None, which cannot be called

    def once() -> None:
        slab = number.encode(np.int64(1))
        wire.read_action(wire.write_action(3, slab))
        number.decode(slab)
        state.encode_into(value, buffer, 50)
        end = ours.write(buffer, PREFIX, STEP, PREFIX + ours.head + 16, (1.0, False, True), b"info")
        write_sequence(buffer, 0, 3)
        assert ours.read_answer(buffer, 0, end, 3) is not None
        assert ours.read_answer(buffer, 0, end, 4) is None
        state.decode(buffer, 50, 16, True)
        assert action.step(env, slab) is None
        assert action.step(env, slab + b"1") is action
        with pytest.raises(TypeError):
            action.step(failing, slab)
        whole = write((value, 1.0, False, True, {}), buffer, PREFIX, STEP, 3)
        assert whole is not None
        assert read(buffer, 0, whole, 3) is not None
        assert read(buffer, 0, whole, 4) is None
        assert write((value, 1.0, False, True, {"a": 1}), buffer, PREFIX, STEP) is None
        with pytest.raises(BufferTooSmallError):
            state.encode_into(value, buffer, 190)

    for _ in range(50):
        once()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(2000):
        once()
    gc.collect()
    assert sys.getallocatedblocks() - before < 500


class _Text(str):
    __slots__ = ()


class _Unhashable(type):
    def __hash__(cls) -> int:
        raise ArithmeticError("this type has no hash")


class _OfUnhashable(metaclass=_Unhashable):
    pass


PARTS = st.one_of(
    VALUES,
    st.sampled_from(
        ["a", _Text("b"), bytearray(b"c"), np.datetime64("2026-01-01"), np.str_("d"), object()]
    ),
    st.sampled_from(
        [np.zeros(3), np.zeros(2, np.object_), np.zeros(2048), np.zeros(2047), np.ma.zeros(2)]
    ),
)
TREES = st.recursive(
    PARTS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3) | st.sampled_from([1, _Text("b")]), inner),
    ),
)


@given(TREES, st.integers(0, 4), st.integers(0, 30))
def test_what_an_info_holds_is_judged_alike(value: object, depth: int, left: int) -> None:
    assert STEP_IN_C is not None
    given = (value, depth, left, fast_packing.PLAIN, np.ndarray, SMALL)
    assert STEP_IN_C.is_plain(*given) is fast_packing.is_plain(*given)


def test_a_cycle_and_a_type_without_a_hash_end_alike() -> None:
    assert STEP_IN_C is not None
    cycle: list[Any] = []
    cycle += [cycle, cycle]
    for is_plain in (STEP_IN_C.is_plain, fast_packing.is_plain):
        rest = (2**16, fast_packing.PLAIN, np.ndarray, SMALL)
        assert not is_plain(cycle, 64, *rest)
        with pytest.raises(ArithmeticError, match="no hash"):
            is_plain({"a": [_OfUnhashable()]}, 64, *rest)


def test_a_list_that_shrinks_while_it_is_judged_harms_nothing() -> None:
    assert STEP_IN_C is not None
    items: list[Any] = []

    class Shrinking(type):
        def __hash__(cls) -> int:
            items.clear()
            return 0

    kind = Shrinking("kind", (), {})
    items += [kind(), 1, 2]
    rest = (2**16, fast_packing.PLAIN, np.ndarray, SMALL)
    assert not STEP_IN_C.is_plain(items, 64, *rest)
    assert not items
