"""A step's messages: written in one go they are protobuf's, and read in one go or not at all."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.codec.step.protocols import Stepped
from rlmesh.codec.step.result import compile_step_result, stepped
from rlmesh.codec.step.wire import (
    INNER,
    PREFIX,
    STEP,
    STEP_MANY,
    STEPS,
    frame,
    padded,
    read_action,
    write_action,
    write_sequence,
)
from rlmesh_api.v1 import session_pb2

# 130: then the lengths of rewards and flags are varints of two bytes.
NUM_ENVS = [None, 1, 2, 5, 130]
SEQUENCES = st.integers(0, 2**64 - 1)
# What stands around a message, and must not be touched or read.
FILLING = b"\xaa"

# Rewards as bits, two rows of flags, slab, info: equal where steps are the same to the bit.
Plain: TypeAlias = tuple[bytes, list[bool], list[bool], bytes, bytes]


class Result(NamedTuple):
    """What a step returned, with a place for each sub-environment."""

    rewards: list[float]
    terminations: list[bool]
    truncations: list[bool]
    slab: bytes
    info: bytes

    def numbers(self, num_envs: int | None) -> tuple[Any, Any, Any]:
        """Reward and flags as they are written."""
        if num_envs is None:
            return self.rewards[0], self.terminations[0], self.truncations[0]
        return (
            np.array(self.rewards, np.float64),
            np.array(self.terminations, np.bool_),
            np.array(self.truncations, np.bool_),
        )

    def proto(self) -> session_pb2.StepResult:
        """The same as protobuf has it."""
        return session_pb2.StepResult(
            observation=self.slab,
            rewards=self.rewards,
            terminations=self.terminations,
            truncations=self.truncations,
            info=self.info,
        )

    def plain(self) -> Plain:
        """The same for comparing."""
        bits = struct.pack(f"<{len(self.rewards)}d", *self.rewards)
        return bits, self.terminations, self.truncations, self.slab, self.info


@st.composite
def results(draw: st.DrawFn, num_envs: int | None) -> Result:
    count = 1 if num_envs is None else num_envs
    flags = st.lists(st.booleans(), min_size=count, max_size=count)
    return Result(
        draw(st.lists(st.floats(), min_size=count, max_size=count)),
        draw(flags),
        draw(flags),
        draw(st.binary(max_size=300)),
        draw(st.binary(max_size=300)),
    )


@st.composite
def answers(draw: st.DrawFn) -> tuple[int | None, int, Result]:
    num_envs = draw(st.sampled_from(NUM_ENVS))
    return num_envs, draw(SEQUENCES), draw(results(num_envs))


def written(num_envs: int | None, sequence: int, result: Result, start: int = 0) -> bytes:
    """The answer as a server writes it; what stands around it in the buffer stays as it was."""
    form = compile_step_result(num_envs)
    begin = start + PREFIX
    slab = begin + form.head
    slab_end = slab + len(result.slab)
    room = slab_end + INNER + len(result.info) + 3
    buffer = bytearray(FILLING * room)
    buffer[slab:slab_end] = result.slab
    end = form.write(buffer, begin, STEP, slab_end, result.numbers(num_envs), result.info)
    write_sequence(buffer, start, sequence)
    assert buffer[:start] == FILLING * start
    assert buffer[end:] == FILLING * (room - end)
    return bytes(buffer[start:end])


def plain(found: Stepped | None) -> Plain | None:
    """What was read of a step, for comparing."""
    if found is None:
        return None
    reward, terminated, truncated, buffer, start, nbytes, info = found
    assert 0 <= start <= start + nbytes <= len(buffer), "the slab stands in the buffer"
    rewards, terminations, truncations = (
        np.atleast_1d(part) for part in (reward, terminated, truncated)
    )
    assert rewards.dtype == np.float64
    assert terminations.dtype == truncations.dtype == np.bool_
    return (
        rewards.tobytes(),
        terminations.tolist(),
        truncations.tolist(),
        bytes(buffer[start : start + nbytes]),
        info,
    )


def read(num_envs: int | None, message: bytes, sequence: int) -> Plain | None:
    return plain(compile_step_result(num_envs).read_answer(message, 0, len(message), sequence))


def by_protobuf(num_envs: int | None, message: bytes) -> Plain | None:
    """What protobuf reads of an answer, for comparing; None if it is none to a step."""
    try:
        response = session_pb2.SessionResponse.FromString(message)
    except DecodeError:
        return None
    return plain(stepped(response.step, num_envs)) if response.HasField("step") else None


def flags_at(num_envs: int | None) -> list[int]:
    """The places of the flags in an answer."""
    count = 1 if num_envs is None else num_envs
    truncations = PREFIX + compile_step_result(num_envs).head - INNER - count
    terminations = truncations - (2 if count < 128 else 3) - count
    return [*range(terminations, terminations + count), *range(truncations, truncations + count)]


def numbers_at(num_envs: int | None) -> set[int]:
    """The places of an answer's sequence, rewards and flags."""
    count = 1 if num_envs is None else num_envs
    flags = flags_at(num_envs)
    rewards = flags[0] - (2 if count < 128 else 3) - 8 * count
    return {*range(1, PREFIX), *range(rewards, rewards + 8 * count), *flags}


# Nothing that a later version writes may be read differently: these bytes never change.
GOLDEN_REQUEST = bytes.fromhex(
    "090700000000000000"  # sequence: 7
    "228e80808000"  # step, 14 bytes
    "0a8880808000"  # action, 8 bytes
    "0000003f000080be"  # 0.5, -0.25 as float32
)
GOLDEN_ANSWER = bytes.fromhex(
    "090700000000000000"  # sequence: 7
    "22a580808000"  # step, 37 bytes
    "1208000000000000f83f"  # rewards, 8 bytes: 1.5
    "1a0101"  # terminations, 1 byte: true
    "220100"  # truncations, 1 byte: false
    "0a8880808000"  # observation, 8 bytes
    "0000803f00000040"  # 1.0, 2.0 as float32
    "2a8180808000"  # info, 1 byte
    "80"  # an empty map
)
GOLDEN_ANSWER_OF_TWO_SUB_ENVS = bytes.fromhex(
    "090700000000000000"  # sequence: 7
    "22a880808000"  # step, 40 bytes
    "1210000000000000f83f000000000000e0bf"  # rewards, 16 bytes: 1.5, -0.5
    "1a020100"  # terminations, 2 bytes: true, false
    "22020001"  # truncations, 2 bytes: false, true
    "0a8880808000"  # observation, 8 bytes
    "0000803f00000040"  # 1.0 and 2.0 as float32
)
POSITIONS = np.array([1.0, 2.0], np.float32).tobytes()
STEPPED = Result([1.5], [True], [False], POSITIONS, b"\x80")
STEPPED_SUB_ENVS = Result([1.5, -0.5], [True, False], [False, True], POSITIONS, b"")


def test_the_request_of_a_step_is_these_bytes() -> None:
    action = np.array([0.5, -0.25], np.float32).tobytes()
    assert write_action(7, action) == GOLDEN_REQUEST
    assert read_action(GOLDEN_REQUEST) == (7, action)


@pytest.mark.parametrize(
    ("num_envs", "result", "golden"),
    [(None, STEPPED, GOLDEN_ANSWER), (2, STEPPED_SUB_ENVS, GOLDEN_ANSWER_OF_TWO_SUB_ENVS)],
)
def test_the_answer_to_a_step_is_these_bytes(
    num_envs: int | None, result: Result, golden: bytes
) -> None:
    assert written(num_envs, 7, result) == golden
    assert read(num_envs, golden, 7) == result.plain()


@given(answers(), st.integers(0, 70))
def test_protobuf_reads_of_an_answer_what_was_written(
    answer: tuple[int | None, int, Result], start: int
) -> None:
    num_envs, sequence, result = answer
    response = session_pb2.SessionResponse.FromString(written(num_envs, sequence, result, start))
    assert response.sequence == sequence
    assert response.WhichOneof("answer") == "step"
    # Through its own bytes: NaN is not equal to itself.
    assert response.step.SerializeToString() == result.proto().SerializeToString()


@given(answers(), st.integers(0, 70))
def test_an_answer_is_read_in_one_go_wherever_it_stands(
    answer: tuple[int | None, int, Result], start: int
) -> None:
    num_envs, sequence, result = answer
    message = written(num_envs, sequence, result)
    buffer = memoryview(FILLING * start + message + FILLING * 40)
    read_answer = compile_step_result(num_envs).read_answer
    found = read_answer(buffer, start, start + len(message), sequence)
    assert plain(found) == result.plain() == by_protobuf(num_envs, message)


@pytest.mark.parametrize("num_envs", NUM_ENVS)
@pytest.mark.parametrize("part", ["slab", "info"])
@pytest.mark.parametrize("nbytes", [0, 1, 127, 128, 2**14 - 1, 2**14, 2**21 - 1, 2**21])
def test_slabs_and_infos_of_every_length_are_read(
    num_envs: int | None, part: str, nbytes: int
) -> None:
    count = 1 if num_envs is None else num_envs
    text = b"\x7f" * nbytes
    slab, info = (text, b"") if part == "slab" else (b"", text)
    result = Result([0.5] * count, [True] * count, [False] * count, slab, info)
    message = written(num_envs, 1, result)
    assert read(num_envs, message, 1) == result.plain() == by_protobuf(num_envs, message)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 2**14, 2**21, 2**28 - 1, 2**28, 2**31])
def test_a_length_of_five_bytes_is_the_varint_that_protobuf_reads(length: int) -> None:
    # As the tag's value of a field of the type varint.
    assert session_pb2.Peer.FromString(b"\x10" + padded(length)).pid == length
    assert len(padded(length)) == INNER - 1


@given(answers())
def test_protobufs_own_encoding_is_left_to_protobuf(
    answer: tuple[int | None, int, Result],
) -> None:
    num_envs, sequence, result = answer
    response = session_pb2.SessionResponse(sequence=sequence, step=result.proto())
    message = response.SerializeToString()
    assert read(num_envs, message, sequence) is None
    assert by_protobuf(num_envs, message) == result.plain()


def varint(number: int, nbytes: int) -> bytes:
    """A number as a varint of that many bytes or, where it needs more, as many as it needs."""
    groups = [number & 0x7F]
    while (number := number >> 7) or len(groups) < nbytes:
        groups[-1] |= 0x80
        groups.append(number & 0x7F)
    return bytes(groups)


@given(st.data(), answers())
def test_an_answer_of_any_form_is_read_as_protobuf_reads_it_or_not_at_all(
    data: st.DataObject, answer: tuple[int | None, int, Result]
) -> None:
    num_envs, sequence, result = answer
    bits, terminations, truncations, slab, info = result.plain()
    parts = {2: bits, 3: bytes(terminations), 4: bytes(truncations), 1: slab, 5: info}
    order = data.draw(st.permutations(list(parts)))
    # Five bytes at the most: whether protobuf reads a longer length differs between its releases.
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=6, max_size=6))
    body = b"".join(
        bytes([number << 3 | 2]) + varint(len(parts[number]), nbytes) + parts[number]
        for number, nbytes in zip(order, lengths[1:], strict=True)
    )
    message = b"\x09" + sequence.to_bytes(8, "little") + STEP + varint(len(body), lengths[0]) + body
    assert by_protobuf(num_envs, message) == result.plain()
    assert read(num_envs, message, sequence) in (None, result.plain())


@pytest.mark.parametrize("num_envs", NUM_ENVS)
def test_an_answer_with_something_more_in_it_is_left_to_protobuf(num_envs: int | None) -> None:
    count = 1 if num_envs is None else num_envs
    result = Result([0.5] * count, [True] * count, [False] * count, POSITIONS, b"\x80")
    message = written(num_envs, 3, result)
    later = message + b"\x98\x06\x01"  # field 99, which only a later version knows
    assert read(num_envs, later, 3) is None
    assert by_protobuf(num_envs, later) == result.plain()


def test_an_answer_of_another_number_of_sub_envs_is_not_read() -> None:
    message = written(2, 7, STEPPED_SUB_ENVS)
    for num_envs in (None, 1, 3):
        assert read(num_envs, message, 7) is None
        assert by_protobuf(num_envs, message) is None


def test_an_answer_to_another_call_is_not_read() -> None:
    message = written(None, 7, STEPPED)
    assert read(None, message, 8) is None


@pytest.mark.parametrize("num_envs", NUM_ENVS)
def test_an_answer_that_is_cut_is_not_read(num_envs: int | None) -> None:
    count = 1 if num_envs is None else num_envs
    result = Result([0.5] * count, [True] * count, [False] * count, POSITIONS, b"\x81\xa1a\x01")
    message = written(num_envs, 3, result)
    for end in range(len(message)):
        assert read(num_envs, message[:end], 3) is None


@pytest.mark.parametrize("num_envs", NUM_ENVS)
def test_whatever_is_damaged_around_numbers_slab_and_info_an_answer_is_not_read(
    num_envs: int | None,
) -> None:
    count = 1 if num_envs is None else num_envs
    result = Result([0.5] * count, [True] * count, [False] * count, POSITIONS, b"\x81\xa1a\x01")
    message = written(num_envs, 3, result)
    slab = PREFIX + compile_step_result(num_envs).head
    held = {
        *numbers_at(num_envs),
        *range(slab, slab + len(POSITIONS)),
        *range(len(message) - len(result.info), len(message)),
    }
    assert len(held) < len(message)
    for place in set(range(len(message))) - held:
        for bit in range(8):
            damaged = bytearray(message)
            damaged[place] ^= 1 << bit
            assert read(num_envs, bytes(damaged), 3) is None, (place, bit)


@given(st.data(), answers())
def test_a_damaged_answer_is_read_as_protobuf_reads_it_or_not_at_all(
    data: st.DataObject, answer: tuple[int | None, int, Result]
) -> None:
    num_envs, sequence, result = answer
    message = bytearray(written(num_envs, sequence, result))
    place = data.draw(st.integers(0, len(message)))
    end = data.draw(st.integers(place, min(len(message), place + 9)))
    message[place:end] = data.draw(st.binary(max_size=9))
    found = read(num_envs, bytes(message), sequence)
    # A flag is any byte; protobuf takes one with the high bit for the beginning of a varint.
    if found is not None and all(message[at] < 0x80 for at in flags_at(num_envs)):
        assert found == by_protobuf(num_envs, bytes(message))


@given(st.sampled_from(NUM_ENVS), SEQUENCES, st.binary(max_size=400))
def test_random_bytes_are_no_answer(num_envs: int | None, sequence: int, message: bytes) -> None:
    assert read(num_envs, message, sequence) is None
    assert read(num_envs, b"\x09" + sequence.to_bytes(8, "little") + message, sequence) is None


def test_flags_that_are_neither_0_nor_1_are_true() -> None:
    message = bytearray(written(2, 7, STEPPED_SUB_ENVS))
    for place in flags_at(2):
        message[place] = 2
    found = compile_step_result(2).read_answer(message, 0, len(message), 7)
    assert found is not None
    for flags in found[1:3]:
        assert flags.view(np.uint8).tolist() == [1, 1]


def test_what_was_read_of_sub_envs_does_not_change_with_the_buffer() -> None:
    message = bytearray(written(2, 7, STEPPED_SUB_ENVS))
    found = compile_step_result(2).read_answer(message, 0, len(message), 7)
    assert found is not None
    message[:] = bytes(len(message))
    rewards, terminated, truncated, *_ = found
    assert rewards.tolist() == [1.5, -0.5]
    assert terminated.tolist() == [True, False]
    assert truncated.tolist() == [False, True]
    for part in (rewards, terminated, truncated):
        part[:] = 0


@given(st.data())
def test_several_steps_are_written_one_after_the_other_as_protobuf_reads_them(
    data: st.DataObject,
) -> None:
    num_envs = data.draw(st.sampled_from([None, 2]))
    steps = data.draw(st.lists(results(num_envs), max_size=4))
    form = compile_step_result(num_envs)
    room = bytearray(PREFIX + INNER + sum(form.head + INNER + 600 for _ in steps))
    begin = PREFIX
    end = begin + INNER
    places: list[tuple[int, int]] = []
    for step in steps:
        slab = end + form.head
        slab_end = slab + len(step.slab)
        room[slab:slab_end] = step.slab
        last, end = end, form.write(room, end, STEPS, slab_end, step.numbers(num_envs), step.info)
        places.append((last, end))
    frame(room, begin, STEP_MANY, end)
    write_sequence(room, 0, 9)
    response = session_pb2.SessionResponse.FromString(bytes(room[:end]))
    assert (response.sequence, response.WhichOneof("answer")) == (9, "step_many")
    expected = [step.plain() for step in steps]
    assert [plain(stepped(step, num_envs)) for step in response.step_many.steps] == expected
    assert [plain(form.read(room, first, last, STEPS)) for first, last in places] == expected


@given(SEQUENCES, st.binary(max_size=300))
def test_protobuf_reads_of_a_request_what_was_written(sequence: int, action: bytes) -> None:
    message = write_action(sequence, action)
    request = session_pb2.SessionRequest.FromString(message)
    assert (request.sequence, request.step.action) == (sequence, action)
    assert request.WhichOneof("call") == "step"
    assert not request.step.deviations
    assert read_action(message) == (sequence, action)


@pytest.mark.parametrize("nbytes", [0, 127, 128, 2**14, 2**21])
def test_actions_of_every_length_are_read(nbytes: int) -> None:
    action = b"\x7f" * nbytes
    message = write_action(5, action)
    assert read_action(message) == (5, action)
    assert session_pb2.SessionRequest.FromString(message).step.action == action


@given(SEQUENCES, st.binary(max_size=300))
def test_a_request_in_protobufs_own_encoding_is_left_to_protobuf(
    sequence: int, action: bytes
) -> None:
    call = session_pb2.StepCall(action=action)
    message = session_pb2.SessionRequest(sequence=sequence, step=call).SerializeToString()
    assert read_action(message) is None


@pytest.mark.parametrize(
    "call",
    [
        {"step": session_pb2.StepCall()},
        {"reset": session_pb2.ResetCall()},
        {"close": session_pb2.CloseCall()},
        {},
    ],
    ids=["step", "reset", "close", "nothing"],
)
def test_any_other_request_is_left_to_protobuf(call: dict[str, Any]) -> None:
    message = session_pb2.SessionRequest(sequence=7, **call).SerializeToString()
    assert read_action(message) is None


def test_an_action_with_deviations_is_left_to_protobuf() -> None:
    deviations = [session_pb2.Deviation(kind="overflow", path="$")]
    more = session_pb2.StepCall(deviations=deviations).SerializeToString()
    # As a message that is merged into the first: the fixed form, and then the deviations.
    message = write_action(7, b"slab") + b"\x22" + bytes([len(more)]) + more
    request = session_pb2.SessionRequest.FromString(message)
    assert (request.step.action, len(request.step.deviations)) == (b"slab", 1)
    assert read_action(message) is None


def test_a_request_that_is_cut_is_not_read() -> None:
    for end in range(len(GOLDEN_REQUEST)):
        assert read_action(GOLDEN_REQUEST[:end]) is None


def test_whatever_is_damaged_before_the_action_a_request_is_not_read() -> None:
    head = len(GOLDEN_REQUEST) - 8
    for place in {0, *range(PREFIX, head)}:
        for bit in range(8):
            damaged = bytearray(GOLDEN_REQUEST)
            damaged[place] ^= 1 << bit
            assert read_action(bytes(damaged)) is None, (place, bit)


@given(st.binary(max_size=200))
def test_random_bytes_are_no_request(message: bytes) -> None:
    assert read_action(message) is None
    assert read_action(b"\x09" + bytes(8) + message) is None
