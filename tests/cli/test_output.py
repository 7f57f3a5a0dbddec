"""A command that serves waits for no reader of its output: not in a call, and not at its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh._cli.output import LONGEST_QUEUE, LineWriter
from rlmesh.errors import RemoteEnvError
from support.processes import RLMESH, SERVE_ENV, Program, command, pipe, served
from support.serving import START_SECONDS

SCREAMING = "support.cli_envs:Screaming"


@contextlib.contextmanager
def full_pipe() -> Generator[tuple[int, int]]:
    """The two ends of a pipe that takes no further byte."""
    with pipe() as (reader, writer):
        fill(writer.fileno())
        yield reader.fileno(), writer.fileno()


def fill(writer: int) -> None:
    os.set_blocking(writer, False)
    for size in (1 << 16, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b" " * size)
    os.set_blocking(writer, True)


def steps(address: str, number: int) -> None:
    """Steps of an environment that raises in each."""
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as env:
        env.reset()
        for _ in range(number):
            with pytest.raises(RemoteEnvError, match="ArithmeticError"):
                env.step(np.int64(0))


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (RLMESH, ["serve", SCREAMING]),
        (SERVE_ENV, [f"--env={SCREAMING}"]),
        (SERVE_ENV, [f"--env={SCREAMING}", "--isolation=process"]),
    ],
)
def test_calls_go_on_and_sigterm_ends_it_while_nothing_reads_its_output(
    program: Program, arguments: list[str]
) -> None:
    with (
        full_pipe() as (_, output),
        served(*arguments, program=program, output=output) as (server, address),
    ):
        steps(address, 40)
        server.send(signal.SIGTERM)
        assert server.process.wait(START_SECONDS) == 0


def test_what_was_dropped_is_counted_in_the_log() -> None:
    number = 40
    with pipe() as (reader, writer), ThreadPoolExecutor(1) as pool:
        fill(writer.fileno())
        with served(f"--env={SCREAMING}", output=writer.fileno()) as (server, address):
            steps(address, number)
            writer.close()
            text = pool.submit(reader.readall)
            server.send(signal.SIGTERM)
            assert server.process.wait(START_SECONDS) == 0
            log = text.result(START_SECONDS).decode()
    written = len(re.findall("^ERROR rlmesh.server: session", log, re.MULTILINE))
    dropped = [int(count) for count in re.findall(r"^\.\.\. (\d+) lines? w", log, re.MULTILINE)]
    assert dropped
    assert written + sum(dropped) == number
    assert len(log) < 2 * LONGEST_QUEUE


def test_a_stuck_environment_ends_with_1_while_nothing_reads_the_output(tmp_path: str) -> None:
    began = os.path.join(tmp_path, "began")
    os.mkfifo(began)
    arguments = [
        "--env=support.cli_envs:BusyInC",
        f'--kwargs-json={{"began": "{began}"}}',
        "--drain-timeout-seconds=0.1",
    ]
    with (
        full_pipe() as (_, output),
        served(*arguments, output=output) as (server, address),
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as env,
        ThreadPoolExecutor(1) as pool,
    ):
        env.reset()
        answer = pool.submit(env.step, np.int64(0))
        with open(began, encoding="ascii") as line:
            assert line.read() == "in a step\n"
        server.send(signal.SIGTERM)
        assert server.process.wait(START_SECONDS) == 1
        assert isinstance(answer.exception(START_SECONDS), rlmesh.RlmeshError)


def test_a_failure_ends_with_1_while_nothing_reads_the_output() -> None:
    with (
        full_pipe() as (_, output),
        command("serve", "support.cli_envs:Raising", "--verbose", output=output) as server,
    ):
        assert server.process.wait(START_SECONDS) == 1


def test_a_line_says_how_many_were_dropped_before_it() -> None:
    with full_pipe() as (reader, output):
        lines = LineWriter(output, "ascii")
        for _ in range(4):
            lines.put("x" * LONGEST_QUEUE)
        assert not lines.flush(0)
        found: list[str] = []

        def read() -> None:
            with os.fdopen(os.dup(reader), encoding="ascii") as stream:
                while not found or found[-1] != "\\xe4\n":
                    found.append(stream.readline())

        reading = threading.Thread(target=read)
        reading.start()
        while reading.is_alive():
            lines.put("ä")
            reading.join(0.01)
    before, notice, line = found[-3:]
    assert before.endswith("x\n")
    assert re.fullmatch(r"\.\.\. (1 line was|\d+ lines were) dropped here, .*\n", notice)
    assert line == "\\xe4\n"


def test_a_descriptor_that_does_not_wait_gets_every_line() -> None:
    with pipe() as (reader, writer), ThreadPoolExecutor(1) as pool:
        os.set_blocking(writer.fileno(), False)
        lines = LineWriter(writer.fileno(), "ascii")
        for _ in range(3):
            lines.put("x" * (LONGEST_QUEUE // 4))
        text = pool.submit(reader.readall)
        assert lines.flush(START_SECONDS)
        writer.close()
        assert len(text.result(START_SECONDS)) == 3 * (LONGEST_QUEUE // 4 + 1)


def test_a_reader_that_has_gone_does_not_stop_the_writer() -> None:
    with pipe() as (reader, writer):
        reader.close()
        lines = LineWriter(writer.fileno(), "ascii")
        for _ in range(3):
            lines.put("x")
        assert lines.flush(START_SECONDS)


def test_a_forked_process_writes_by_itself() -> None:
    with full_pipe() as (_, stuck), pipe() as (reader, writer):
        LineWriter(stuck, "ascii").put("x")
        lines = LineWriter(writer.fileno(), "ascii")
        lines._lock.acquire()  # as another thread may have it at the fork
        child = os.fork()
        if child == 0:
            lines.put("from the child")
            os._exit(0 if lines.flush(0) else 1)
        lines._lock.release()
        watch = threading.Timer(START_SECONDS, os.kill, [child, signal.SIGKILL])
        watch.start()
        assert os.waitpid(child, 0)[1] == 0
        watch.cancel()
        assert reader.read(100) == b"from the child\n"
