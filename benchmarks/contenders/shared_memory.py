"""Two processes that spin on shared memory: one copies the bytes in, the other copies them out."""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import socket
from collections.abc import Generator

from benchmarks.contenders.driven import Driven, UnavailableError
from benchmarks.contenders.sizes import REQUEST_BYTES
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload

# Words of 8 bytes, each on a separate cache line; then the bytes that move.
_ASKED, _ANSWERED = 0, 8
_REQUEST, _ANSWER = 128, 4096
# In place of a number: the peer is to sleep until the socket wakes it.
_PARK = 2**64 - 1


@contextlib.contextmanager
def open_it(workload: Workload) -> Generator[Driven]:
    """Over an anonymous file; a socket wakes the peer for each turn."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise UnavailableError("it relies on the memory order of x86 processors")
    size = workload.answer_bytes()
    mine, theirs = socket.socketpair()
    file = os.memfd_create("floor")
    with contextlib.ExitStack() as stack:
        stack.enter_context(mine)
        stack.callback(os.close, file)
        os.ftruncate(file, _ANSWER + size)
        with theirs:
            arguments = (workload.key, str(file), str(theirs.fileno()))
            stack.enter_context(peer(serve, *arguments, pass_fds=(file, theirs.fileno())))
        memory, words = stack.enter_context(_mapped(file, _ANSWER + size))
        yield _driven(memory, words, size, mine)


def _driven(memory: memoryview, words: memoryview, size: int, bell: socket.socket) -> Driven:
    request = b"x" * REQUEST_BYTES
    end = _ANSWER + size
    count = 0
    words[_ASKED] = _PARK

    def step() -> bool:
        nonlocal count
        count += 1
        memory[_REQUEST : _REQUEST + REQUEST_BYTES] = request
        words[_ASKED] = count
        while words[_ANSWERED] != count:
            pass
        bytes(memory[_ANSWER:end])
        return False

    def wake() -> None:
        words[_ASKED] = count
        bell.send(b"\0")

    def park() -> None:
        words[_ASKED] = _PARK

    return Driven(step, wake, park)


def serve(announce: Announce, workload: str, file: str, bell: str) -> None:
    """The other process."""
    size = WORKLOADS[workload].answer_bytes()
    answer = b"x" * size
    end = _ANSWER + size
    with _mapped(int(file), end) as (memory, words), socket.socket(fileno=int(bell)) as woken:
        announce("ready")
        done = 0
        while True:
            asked = words[_ASKED]
            if asked == _PARK:
                if not woken.recv(1):
                    return
            elif asked != done:
                bytes(memory[_REQUEST : _REQUEST + REQUEST_BYTES])
                memory[_ANSWER:end] = answer
                done = asked
                words[_ANSWERED] = done


@contextlib.contextmanager
def _mapped(file: int, size: int) -> Generator[tuple[memoryview, memoryview]]:
    """The file's bytes, and its beginning as words."""
    with (
        mmap.mmap(file, size) as mapped,
        memoryview(mapped) as memory,
        memory[:_REQUEST] as head,
        head.cast("Q") as words,
    ):
        yield memory, words
