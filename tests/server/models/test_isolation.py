"""A model in a worker process does what it does here, and its server outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.client.probing import fetch_status
from rlmesh.errors import (
    ArgumentTypeError,
    ContractMismatchError,
    EndpointBusyError,
    InvalidArgumentError,
    InvalidModelError,
    ModelCrashedError,
    RemoteModelError,
)
from support import frail_model, models
from support.comparing import assert_same
from support.frail_model import Frail, Gated, Stateless, end
from support.models import await_queue, observation, working
from support.process import child_processes
from support.processes import command
from support.watching import NOT_SERVING, SERVING, check_health

SEEN = [observation(seed) for seed in range(5)]
isolated = partial(working, isolation="process")


@contextlib.contextmanager
def asking(worker: rlmesh.ModelWorker, count: int) -> Generator[list[rlmesh.RemoteModel]]:
    """So many clients."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(rlmesh.RemoteModel(worker.address)) for _ in range(count)]


def state(*numbers: float) -> dict[str, Any]:
    """An observation with this state."""
    return {**SEEN[0], "state": np.array(numbers, np.float32)}


def script(worker: rlmesh.ModelWorker, offers: bool) -> list[Any]:
    """What two sessions of a model are answered, one after the other and in batches."""
    found: list[Any] = []
    with asking(worker, 2) as (one, other):
        one.reset(seed=3, options={"a": np.arange(3)})
        other.reset(seed=4)
        for seen in SEEN:
            found += [one.predict(seen), other.predict(seen)]
        found += [one.predict_chunk(SEEN[0]), one.predict_batch(SEEN)]
        if offers:
            found.append(one.predict_chunk(SEEN[1], prefix=np.ones((2, 2), np.float32), delay=1))
        other.reset(seed=4)
        found += [other.predict_chunk_batch(SEEN[:2]), other.predict(SEEN[4])]
        stats = one.stats()
        found += [stats["predict"].count, stats["reset"].count]
        assert stats["predict"].model_seconds > 0
        # An observation that is refused leaves the session as it was.
        with pytest.raises(rlmesh.errors.InvalidObservationError):
            one.predict({**SEEN[0], "state": np.full(3, np.nan, np.float32)})
        found.append(one.predict(SEEN[0]))
    return found


@pytest.mark.parametrize(
    "make",
    [
        models.Recurrent,
        models.RecurrentBatches,
        models.OfChunk,
        models.OfChunks,
        models.Planning,
    ],
)
def test_an_isolated_model_answers_bit_for_bit_as_one_in_this_process(make: Any) -> None:
    offers = make is models.Planning
    with working(make()) as here, isolated(make) as there:
        assert there.model_contract == here.model_contract
        for one, other in zip(script(here, offers), script(there, offers), strict=True):
            assert_same(other, one)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("exit", r"exited with code 3. The last that it wrote to stderr:\nout of cards"),
        ("segfault", r"was killed by SIGSEGV.*in fail"),
    ],
)
def test_a_crash_ends_the_requests_in_flight_and_the_states(how: str, text: str) -> None:
    with isolated(Frail) as worker, asking(worker, 2) as (one, other):
        other.reset(seed=1)
        first = [other.predict(seen) for seen in SEEN[:2]]
        one.reset(options={"do": how})
        with pytest.raises(ModelCrashedError, match=f"(?s)the model crashed in predict.*{text}"):
            one.predict(SEEN[0])
        for client in (one, other, one):
            # The state is gone, so that no episode goes on with another one.
            with pytest.raises(ModelCrashedError, match="begins again with a reset"):
                client.predict(SEEN[2])
        for client in (other, one):
            client.reset(seed=1)
            assert_same(np.stack([client.predict(seen) for seen in SEEN[:2]]), np.stack(first))
        assert check_health(worker.address) == SERVING


def test_a_model_without_state_goes_on_with_the_next_call() -> None:
    with isolated(Stateless) as worker, asking(worker, 2) as (one, other):
        one.reset(seed=5)
        other.reset(seed=6)
        drawn = [one.predict(SEEN[0]), other.predict(SEEN[0])]
        [pid] = worker_processes()
        os.kill(pid, signal.SIGKILL)
        end(pid)
        # Without a call: who looks at health sends none meanwhile.
        while worker_processes() in ([], [pid]) or check_health(worker.address) != SERVING:
            threading.Event().wait(0.01)
        assert_same(np.stack([one.predict(SEEN[0]), other.predict(SEEN[0])]), np.stack(drawn))
        with pytest.raises(ModelCrashedError, match="The next call is answered in a new process"):
            one.predict(state(1, 0, 0))
        # With the seed of its episode.
        assert_same(np.stack([one.predict(SEEN[0]), other.predict(SEEN[0])]), np.stack(drawn))


@pytest.mark.parametrize("serve", [partial(isolated, Frail), lambda: working(Frail())])
def test_what_a_model_raises_ends_no_process(serve: Callable[[], Any]) -> None:
    with serve() as worker, asking(worker, 1) as (client,):
        before = worker_processes()
        for how in ("raise", "sys.exit", "fork"):
            client.reset(options={"do": how})
            if how == "fork":
                assert client.predict(SEEN[0]).shape == (2,)
            else:
                with pytest.raises(RemoteModelError) as raised:
                    client.predict(SEEN[0])
                assert not isinstance(raised.value, ModelCrashedError)
                assert "in fail" in raised.value.remote_traceback
        assert worker_processes() == before


@pytest.mark.parametrize(
    ("how", "place"), [("hang", "in hang"), ("hang in C", "holds the interpreter lock")]
)
def test_a_hang_is_shown_with_its_stack_and_a_shutdown_ends_it(how: str, place: str) -> None:
    options = rlmesh.ServeOptions(drain_timeout_seconds=0.1, close_timeout_seconds=0.1)
    worker = rlmesh.ModelWorker(Frail, isolation="process", options=options)
    worker.start()
    [pid] = worker_processes()
    with rlmesh.RemoteModel(worker.address, reconnect=False) as client:
        client.reset(options={"do": how})
        client.post(SEEN[0])
        while place not in (model := fetch_status(worker.address, 20.0).models[0]).stack:
            threading.Event().wait(0.01)
        assert model.call == "predict"
        worker.shutdown()
        end(pid)
        with pytest.raises(rlmesh.RlmeshError):
            client.take()


def worker_processes() -> list[int]:
    """The processes that hold a model of this process's workers."""
    return [pid for pid, line in child_processes().items() if "models.process.worker_main" in line]


def never_closed() -> Any:
    return threading.Lock()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (Frail(), ArgumentTypeError, "needs a callable without arguments that makes the model"),
        (never_closed, InvalidModelError, "model must be a callable, or an object with one of"),
        (partial(Frail.predict, never_closed()), ArgumentTypeError, "cannot be pickled"),
        (partial(frail_model.Unmakable, "raise"), RemoteModelError, "making the model"),
        (partial(frail_model.Unmakable, "sys.exit"), RemoteModelError, "SystemExit"),
        (partial(frail_model.Unmakable, "exit"), ModelCrashedError, "while it was made: .* code 3"),
        (frail_model.Unreadable(), RemoteModelError, "reading the callable that makes the model"),
        (frail_model.without_spaces, InvalidModelError, "has no observation_space"),
        (frail_model.several, InvalidModelError, "makes one model, got a mapping"),
        ({"good": Frail, "bad": frail_model.without_spaces}, InvalidModelError, "has no observ"),
    ],
)
def test_a_model_that_cannot_be_made_is_named_and_nothing_runs_on(
    make: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        rlmesh.ModelWorker(make, isolation="process")
    assert worker_processes() == []


def test_an_unknown_isolation_is_refused() -> None:
    for wrong in ("thread", 1, ["process"]):
        with pytest.raises(InvalidArgumentError, match="isolation must be 'process' or None"):
            rlmesh.ModelWorker(Frail, isolation=wrong)  # type: ignore[arg-type]


def test_batches_the_queue_and_a_reload_are_as_without_isolation(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    make: Callable[..., Any] = partial(Gated, gate)
    worker = rlmesh.ModelWorker(make, isolation="process", max_batch_size=2, queue_limit=3)
    starting = threading.Thread(target=worker.start)
    starting.start()
    try:
        while not (found := fetch_status(worker.address, 20.0).models) or "in _wait" not in (
            found[0].stack
        ):
            threading.Event().wait(0.01)
        assert (found[0].call, found[0].ready) == ("warmup", False)
        assert check_health(worker.address) == NOT_SERVING
        gate.touch()
        starting.join()
        assert check_health(worker.address) == SERVING
        gate.unlink()
        with asking(worker, 5) as (first, *others, late):
            first.post(SEEN[0])
            while "in _wait" not in fetch_status(worker.address, 20.0).models[0].stack:
                threading.Event().wait(0.01)
            for client in others:
                client.post(SEEN[0])
            await_queue(worker, 3)
            with pytest.raises(EndpointBusyError) as busy:
                late.predict(SEEN[0])
            assert busy.value.queue_length == 3
            gate.touch()
            for client in (first, *others):
                assert_same(client.take(), models.act(SEEN[0]["state"]))
            sizes = sorted(client.stats()["predict"].mean_batch_size for client in others)
            assert sizes == [1, 2, 2]
            with pytest.raises(ContractMismatchError, match="another contract"):
                worker.reload(frail_model.Longer)
            with pytest.raises(RemoteModelError, match="making the model"):
                worker.reload(partial(frail_model.Unmakable, "raise"))
            assert worker.reload(partial(Gated, gate, 0.5)) == 2
            # An episode that has begun keeps its version.
            assert_same(first.predict(SEEN[0]), models.act(SEEN[0]["state"]))
            assert len(worker_processes()) == 2
            for client in (first, *others, late):
                client.reset()
                assert client.version == 2
            assert_same(first.predict(SEEN[0]), models.act(SEEN[0]["state"]) / 2)
            while len(worker_processes()) > 1:
                threading.Event().wait(0.01)
            assert gate.with_suffix(".closed").exists()
    finally:
        gate.touch()
        starting.join()
        worker.shutdown()
    assert worker_processes() == []


def test_a_server_that_is_killed_takes_its_model_along() -> None:
    with command(
        "serve-model",
        "support.frail_model:Frail",
        "--isolation=process",
        "--address=tcp://127.0.0.1:0",
    ) as served:
        line = served.line()
        assert "is served at tcp://" in line
        address = next(word for word in line.split() if word.startswith("tcp://")).rstrip(";,.")
        with rlmesh.RemoteModel(address) as client:
            assert client.predict(SEEN[0]).shape == (2,)
        [pid] = child_processes(served.pid)
        served.send(signal.SIGKILL)
        end(pid)
