"""Every event in every state of a session, on a real server and over every transport."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest

import rlmesh
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.sessions.session import Session, State
from rlmesh_api.v1 import session_pb2
from support.pipes import message
from support.raw_sessions import RawSession, raw_session
from support.repository import ROOT
from support.sample_envs import Gate, ScriptedEnv

SECONDS = 20.0
SHORT, LONG = 0.2, 3600.0
STEP = session_pb2.StepCall(action=np.zeros(2, np.float32).tobytes())

OPENING, CONNECTED, DISCONNECTED, ENDING, RELEASED = State
REFUSED = "refused"
"""The client is refused, and the state stays."""
NEVER = "never"
"""It cannot happen there."""

SHOWN = {REFUSED: "refused", NEVER: "–"}
"""As the page shows them."""

# docs/architecture.md has the same table for readers; a test below compares the two.
TABLE: dict[str, dict[State, State | str]] = {
    "the slot is prepared": {
        OPENING: CONNECTED,
        CONNECTED: NEVER,
        DISCONNECTED: NEVER,
        ENDING: NEVER,
        RELEASED: NEVER,
    },
    "the slot cannot be prepared": {
        OPENING: RELEASED,
        CONNECTED: NEVER,
        DISCONNECTED: NEVER,
        ENDING: NEVER,
        RELEASED: NEVER,
    },
    "a client connects a pipe": {
        OPENING: REFUSED,
        CONNECTED: CONNECTED,
        DISCONNECTED: CONNECTED,
        ENDING: REFUSED,
        RELEASED: REFUSED,
    },
    "a client resumes": {
        OPENING: REFUSED,
        CONNECTED: CONNECTED,
        DISCONNECTED: CONNECTED,
        ENDING: REFUSED,
        RELEASED: REFUSED,
    },
    "the last connection breaks": {
        OPENING: OPENING,
        CONNECTED: DISCONNECTED,
        DISCONNECTED: NEVER,
        ENDING: ENDING,
        RELEASED: NEVER,
    },
    "the last connection of a client that does not resume breaks": {
        OPENING: OPENING,
        CONNECTED: RELEASED,
        DISCONNECTED: NEVER,
        ENDING: ENDING,
        RELEASED: NEVER,
    },
    "the client leaves": {
        OPENING: ENDING,
        CONNECTED: RELEASED,
        DISCONNECTED: RELEASED,
        ENDING: ENDING,
        RELEASED: REFUSED,
    },
    "its client opens another in its place": {
        OPENING: ENDING,
        CONNECTED: RELEASED,
        DISCONNECTED: RELEASED,
        ENDING: ENDING,
        RELEASED: RELEASED,
    },
    "the client closes it": {
        OPENING: NEVER,
        CONNECTED: RELEASED,
        DISCONNECTED: NEVER,
        ENDING: NEVER,
        RELEASED: NEVER,
    },
    "the client breaks the protocol": {
        OPENING: NEVER,
        CONNECTED: RELEASED,
        DISCONNECTED: NEVER,
        ENDING: NEVER,
        RELEASED: NEVER,
    },
    "its time is over": {
        OPENING: OPENING,
        CONNECTED: RELEASED,
        DISCONNECTED: RELEASED,
        ENDING: ENDING,
        RELEASED: NEVER,
    },
    "the call in progress returns": {
        OPENING: NEVER,
        CONNECTED: CONNECTED,
        DISCONNECTED: DISCONNECTED,
        ENDING: RELEASED,
        RELEASED: NEVER,
    },
    "the server drains": {
        OPENING: ENDING,
        CONNECTED: RELEASED,
        DISCONNECTED: RELEASED,
        ENDING: ENDING,
        RELEASED: RELEASED,
    },
}
CASES = [
    pytest.param(event, state, id=f"{state.value}: {event}")
    for event, row in TABLE.items()
    for state, outcome in row.items()
    if outcome is not NEVER
]


@dataclass
class Envs:
    """Makes environments whose making and steps wait, where a test says so."""

    making: Gate | None = None
    stepping: Gate | None = None
    fails: bool = False
    gates: list[Gate] = field(default_factory=list)

    def hold(self) -> Gate:
        gate = Gate()
        self.gates.append(gate)
        return gate

    def __call__(self) -> ScriptedEnv:
        if self.making is not None:
            self.making.wait()
        if self.fails:
            raise RuntimeError("no environment today")
        env = ScriptedEnv()
        env.script["step"] = self._step
        return env

    def _step(self) -> None:
        if self.stepping is not None:
            self.stepping.wait()

    def open(self) -> None:
        """Lets everything go on."""
        for gate in self.gates:
            gate.open()


@dataclass
class Scene:
    """A session in some state, its client, and another session beside it.

    Attributes:
        session: The server's session.
        client: Its client; None until the server has answered that it is open.
        bystander: A session of another client, which stays connected.
    """

    server: rlmesh.EnvServer
    envs: Envs
    transport: str
    bystander: RawSession
    pool: ThreadPoolExecutor
    undo: contextlib.ExitStack
    opening: Future[RawSession]
    session: Session
    client: RawSession | None = None
    pipe: Any = None
    number: int = 1
    call: Future[Any] | None = None

    @property
    def opened(self) -> RawSession:
        assert self.client is not None
        return self.client

    def open(self) -> None:
        """Waits until the session is open, and makes a first call over the transport."""
        self.client = self.opening.result(SECONDS)
        if self.transport != "grpc":
            self.pipe = self.opened.pipe(self.transport)
            self.undo.callback(self.pipe.release)
        assert self.make("reset").WhichOneof("answer") == "reset"

    def make(self, kind: str) -> session_pb2.SessionResponse:
        """Makes a call over the transport, and waits for its answer."""
        self.number += 1
        call: Any = {
            "reset": {"reset": session_pb2.ResetCall()},
            "step": {"step": STEP},
            "close": {"close": session_pb2.CloseCall()},
        }[kind]
        if self.pipe is None:
            return self.opened.call(self.number, **call)
        request = session_pb2.SessionRequest(sequence=self.number, **call)
        self.pipe.send(request.SerializeToString())
        return session_pb2.SessionResponse.FromString(message(self.pipe))

    def begin_step(self) -> Gate:
        """Begins a step that lasts until the gate is opened."""
        gate = self.envs.stepping = self.envs.hold()
        self.call = self.pool.submit(self._step)
        assert gate.reached.wait(SECONDS)
        return gate

    def _step(self) -> Any:
        try:
            return self.make("step")
        except (grpc.RpcError, AssertionError) as error:
            return error

    def cut(self) -> None:
        """Breaks the client's connections; a call in progress is not waited for."""
        if self.pipe is not None:
            self.pipe.close()
        if self.client is not None:
            self.client.close()

    def until(self, *states: State) -> None:
        """Waits until the session is in one of these states."""
        pause, end = threading.Event(), time.monotonic() + SECONDS
        while self.session.state not in states:
            assert time.monotonic() < end, f"it stays {self.session.state}, not {states}"
            pause.wait(0.005)

    def resume(self, *, leaves: bool = False) -> session_pb2.SessionResponse:
        """Shows the session's secret on a new stream; what the server answers."""
        stream = raw_session(self.server.address, self.session.secret, leaves=leaves)
        return self.undo.enter_context(stream).answer


def manager_of(server: rlmesh.EnvServer) -> SessionManager:
    return server._life._manager


@contextlib.contextmanager
def scene(
    transport: str, options: rlmesh.ServeOptions, *, resumes: bool = True
) -> Generator[Scene]:
    """A session that is opening."""
    envs = Envs()
    with contextlib.ExitStack() as undo:
        pool = undo.enter_context(ThreadPoolExecutor())
        undo.callback(envs.open)
        server = rlmesh.EnvServer(envs, sessions=2, direct="tcp://127.0.0.1:0", options=options)
        undo.callback(server.shutdown)
        undo.callback(envs.open)
        server.start()
        # The server's first environment is made already; the next one is made for its session.
        bystander = undo.enter_context(raw_session(server.address))
        (other,) = manager_of(server).sessions()
        envs.making = envs.hold()
        stream = raw_session(server.address, resumes=resumes)
        opening = pool.submit(undo.enter_context, stream)
        assert envs.making.reached.wait(SECONDS)
        (session,) = (each for each in manager_of(server).sessions() if each is not other)
        yield Scene(server, envs, transport, bystander, pool, undo, opening, session)


def bring_to(scene: Scene, state: State) -> Gate | None:
    """Brings an opening session into a state; the gate of the step in progress, if there is one."""
    gate = None
    if state is not OPENING:
        assert scene.envs.making is not None
        scene.envs.making.open()
        scene.open()
        scene.until(CONNECTED)
    if state is DISCONNECTED:
        scene.cut()
    if state is ENDING:
        gate = scene.begin_step()
        assert scene.resume(leaves=True).WhichOneof("answer") == "resume"
    if state is RELEASED:
        scene.make("close")
    scene.until(state)
    return gate


# What makes each event happen; it returns whether the client was refused.


def prepare(scene: Scene, _: Gate | None) -> bool:
    assert scene.envs.making is not None
    scene.envs.making.open()
    return False


def fail_to_prepare(scene: Scene, _: Gate | None) -> bool:
    scene.envs.fails = True
    assert scene.envs.making is not None
    scene.envs.making.open()
    answer = scene.opening.result(SECONDS).answer
    assert "no environment today" in answer.failure.message
    return True


def connect_pipe(scene: Scene, _: Gate | None) -> bool:
    kind = "shm" if scene.transport == "grpc" else scene.transport
    pipe = scene.bystander.enter(kind, scene.session.secret)
    if pipe is not None:
        scene.undo.callback(pipe.release)
    return pipe is None


def resume(scene: Scene, _: Gate | None) -> bool:
    return scene.resume().WhichOneof("answer") == "failure"


def break_connections(scene: Scene, _: Gate | None) -> bool:
    scene.cut()
    return False


def leave(scene: Scene, _: Gate | None) -> bool:
    return scene.resume(leaves=True).WhichOneof("answer") == "failure"


def replace(scene: Scene, _: Gate | None) -> bool:
    # It has to wait until the session is released; nothing else says when it is the first in line.
    stream = raw_session(scene.server.address, replaces=scene.session.secret)
    scene.pool.submit(scene.undo.enter_context, stream)
    return False


def close(scene: Scene, _: Gate | None) -> bool:
    assert scene.make("close").WhichOneof("answer") == "close"
    return False


def break_protocol(scene: Scene, _: Gate | None) -> bool:
    if scene.pipe is not None:
        scene.pipe.send(b"\xff\xff\xff")
    else:
        # A number that has no call before it and names none.
        scene.opened.send(scene.number)
        scene.opened.send(scene.number - 1, step=STEP)
    return False


def time_over(scene: Scene, _: Gate | None) -> bool:
    # The options make it so; what is not to happen has had its time by then.
    threading.Event().wait(3 * SHORT)
    return False


def let_call_return(scene: Scene, gate: Gate | None) -> bool:
    if gate is None:
        gate = scene.begin_step()
        if scene.session.state is DISCONNECTED:
            raise AssertionError("a disconnected session has no client to call")
    gate.open()
    return False


def drain(scene: Scene, _: Gate | None) -> bool:
    done = scene.pool.submit(scene.server.shutdown)
    pause = threading.Event()
    while not manager_of(scene.server).draining and not done.done():
        pause.wait(0.005)
    return False


EVENTS: dict[str, Callable[[Scene, Gate | None], bool]] = {
    "the slot is prepared": prepare,
    "the slot cannot be prepared": fail_to_prepare,
    "a client connects a pipe": connect_pipe,
    "a client resumes": resume,
    "the last connection breaks": break_connections,
    "the last connection of a client that does not resume breaks": break_connections,
    "the client leaves": leave,
    "its client opens another in its place": replace,
    "the client closes it": close,
    "the client breaks the protocol": break_protocol,
    "its time is over": time_over,
    "the call in progress returns": let_call_return,
    "the server drains": drain,
}


def options_for(event: str, state: State) -> rlmesh.ServeOptions:
    if event != "its time is over":
        return rlmesh.ServeOptions(resume_timeout_seconds=LONG)
    if state is CONNECTED:
        return rlmesh.ServeOptions(
            resume_timeout_seconds=LONG, session_idle_timeout_seconds=4 * SHORT
        )
    return rlmesh.ServeOptions(resume_timeout_seconds=SHORT)


def test_the_table_has_every_event_in_every_state() -> None:
    assert TABLE.keys() == EVENTS.keys()
    assert all(list(row) == list(State) for row in TABLE.values())


@pytest.mark.parametrize("transport", ["grpc", "shm", "direct"])
@pytest.mark.parametrize(("event", "state"), CASES)
def test_an_event_moves_a_session_as_the_table_says(
    event: str, state: State, transport: str
) -> None:
    expected = TABLE[event][state]
    resumes = "does not resume" not in event
    with scene(transport, options_for(event, state), resumes=resumes) as here:
        if event == "the call in progress returns" and state is DISCONNECTED:
            # The call began before the connection broke.
            bring_to(here, CONNECTED)
            gate: Gate | None = here.begin_step()
            here.cut()
            here.until(DISCONNECTED)
        else:
            gate = bring_to(here, state)
        refused = EVENTS[event](here, gate)
        assert refused is (expected == REFUSED or event == "the slot cannot be prepared")
        if isinstance(expected, State):
            if here.call is not None and gate is not None and event.endswith("returns"):
                assert here.call.result(SECONDS) is not None
            here.until(expected)
        else:
            assert here.session.state is state


@pytest.mark.parametrize("transport", ["grpc", "shm", "direct"])
def test_a_session_that_ends_while_it_opens_is_released_when_its_slot_is_prepared(
    transport: str,
) -> None:
    with scene(transport, rlmesh.ServeOptions(resume_timeout_seconds=LONG)) as here:
        leave(here, None)
        here.until(ENDING)
        prepare(here, None)
        here.until(RELEASED)
        # Its stream was ended with it.
        with pytest.raises(grpc.RpcError):
            here.opening.result(SECONDS)


def test_the_architecture_page_has_this_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    names = "|".join(state.name for state in State)
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in page.splitlines()
        if re.match(rf"\|.*\| *(`?({names})`?|refused|–)", line)
    ]
    shown = {row[0].lower(): [cell.strip("`") for cell in row[1:]] for row in rows if len(row) == 6}
    wanted = {
        event: [
            outcome.name
            if isinstance(outcome, State)
            else {REFUSED: "refused", NEVER: "–"}[outcome]
            for outcome in row.values()
        ]
        for event, row in TABLE.items()
    }
    assert {event: shown.get(event) for event in wanted} == wanted
