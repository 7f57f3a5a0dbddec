"""The servers of a fleet, each in a Ray actor: started, found again, replaced, and ended."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rlmesh.address import parse_address
from rlmesh.client.address_source import AddressSource
from rlmesh.client.connect_diagnosis import is_listening
from rlmesh.client.probing import wait_until_serving
from rlmesh.contract import EnvContract, ModelContract, compare_contracts
from rlmesh.errors import (
    ContractMismatchError,
    EndpointError,
    EndpointUnreachableError,
    RlmeshError,
    StateError,
)
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.notes import add_note
from rlmesh.ray.actors import Report, ServerActor, ServerSpec
from rlmesh.ray.cluster import Nodes, actor_resources, anywhere_but, check_room, choose_nodes
from rlmesh.security import ClientTLS
from rlmesh.transports.failures import error_of_making
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.ray")

# How long a look waits for the actors to answer, and for how long what it found holds.
_LOOK_SECONDS, _FRESH_SECONDS = 0.3, 0.1
# How long a server may take to accept a connection, of which there is doubt whether it is there.
_LISTEN_SECONDS = 0.5
# How often `addresses_of_all` looks again.
_PAUSE_SECONDS = 0.1
# How many differences between two contracts an error shows.
_DIFFERENCES = 4
# How long a server has to close what it serves, before its process is killed.
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What one server of a fleet is doing.

    Attributes:
        node: The id of the Ray node that it runs on; empty while Ray looks for one.
        node_address: The IP address of that node.
        pid: Its process; 0 while there is none.
        address: Where it listens; empty while it is lost.
        state: `ready`, `busy`, `starting` or `draining` as the server says; `lost` where its
            process is gone and the next one has not reported yet.
        steps: The steps that this client has made there, in the sessions that it has now.
        restarts: How often it has got another process.
    """

    node: str
    node_address: str
    pid: int
    address: str
    state: str
    steps: int
    restarts: int


class _Server:
    """One server of a fleet. The lock of `Servers` guards it.

    Attributes:
        number: Its number in the fleet.
        chosen: The id of the node that was chosen for it.
        actor: Its Ray actor.
        report: What the actor has said last; None where it has never answered.
        lost: Whether that is out of date: the process that said it is gone.
        moved: Whether another actor holds the server since then, which has not answered yet.
        asked: The answer that the actor owes; None where it was not asked.
        restarts: How often it has got another process.
    """

    def __init__(self, number: int, actor: Any, chosen: str) -> None:
        self.number = number
        self.chosen = chosen
        self.report: Report | None = None
        self.lost = self.moved = False
        self.restarts = 0
        self.actor = actor
        self.asked: Any = actor.report.remote()

    def move(self, actor: Any) -> None:
        """Has another actor hold the server."""
        self.lost = self.moved = True
        self.actor = actor
        self.asked = actor.report.remote()

    def note(self, report: Report) -> None:
        """Notes what the actor has said."""
        before, self.report = self.report, report
        self.lost = self.moved = False
        if before is not None and (before.node, before.pid) != (report.node, report.pid):
            self.restarts += 1

    @property
    def address(self) -> str:
        """Where it listens; empty where that is not known."""
        return "" if self.report is None or self.lost else self.report.address

    def __str__(self) -> str:
        if self.report is None:
            return f"server {self.number}, for node {self.chosen[:12]}"
        where = f"{self.report.node_address} ({self.report.node[:12]})"
        return f"server {self.number} on node {where}"


class Servers(AddressSource):
    """The servers of a fleet; as an `AddressSource` it has the addresses of those that are there.

    Ray starts a process again that has died, on the same node; the server has another address then.
    A server whose node is gone is started elsewhere from here, since Ray itself waits for a while
    before it counts a node as gone. Threads look only while a client misses a server.

    Args:
        spec: What each server is made with.
        resources: What each takes of its node, by Ray's names.
        placement: `spread` or `pack`.
        runtime_env: The environment of their processes, as Ray reads it; None: the job's.
        tls: What this program trusts.
        read_contract: Reads a contract of what they serve.

    Raises:
        RayError: If Ray cannot read `runtime_env`.
    """

    def __init__(
        self,
        spec: ServerSpec,
        *,
        resources: dict[str, float],
        placement: str,
        runtime_env: dict[str, Any] | None,
        tls: ClientTLS | None,
        read_contract: Callable[[bytes], EnvContract | ModelContract],
    ) -> None:
        self.server_name: str | None = None
        self._spec = spec
        self._resources = resources
        self._placement = placement
        self._tls = tls
        self._read_contract = read_contract
        self._make: Any = ray.remote(
            max_restarts=-1,
            max_task_retries=0,
            runtime_env=runtime_env,
            **actor_resources(resources),
        )(ServerActor)
        # `_lock` guards all that follows, and the servers.
        self._lock = threading.Lock()
        self._servers: list[_Server] = []
        # For how many sessions each of them is listed.
        self._sessions: list[int] = []
        self._looked_at = float("-inf")
        self._gone_nodes: set[str] = set()
        self._ended = False
        self._process = os.getpid()

    def __str__(self) -> str:
        return "the Ray cluster"

    @property
    def contracts(self) -> tuple[bytes, ...]:
        """What the first server serves, serialized."""
        report = self._servers[0].report
        return () if report is None else report.contracts

    def addresses(self) -> list[str]:
        """The addresses of the servers that are there; see `AddressSource`."""
        found = self._found()
        if not found:
            raise EndpointUnreachableError(
                f"none of the {len(self._servers)} servers on the Ray cluster is there"
            )
        return found

    def addresses_of_all(self, seconds: float) -> list[str]:
        """The addresses of all servers; waits for those that are lost.

        Args:
            seconds: How long at most.

        Raises:
            EndpointUnreachableError: If not all are there in time.
            StateError: If the fleet is closed.
        """
        deadline = time.monotonic() + seconds
        while len(found := self._found()) < sum(self._sessions):
            if time.monotonic() >= deadline:
                lost = ", ".join(str(each) for each in self._servers if not each.address)
                raise EndpointUnreachableError(
                    f"not all servers on the Ray cluster came back within {seconds:g} s; missing "
                    f"is {lost}"
                )
            time.sleep(_PAUSE_SECONDS)
        return found

    @contextlib.contextmanager
    def resized(self, sessions: Sequence[int], seconds: float) -> Generator[None]:
        """Changes how many servers there are, and for how many sessions each is listed.

        What is inside has the new servers beside the old ones. Those that are too many are ended
        after it; where it raises, all is as before.

        Args:
            sessions: For how many sessions each server is listed.
            seconds: How long to wait for the new ones.

        Raises:
            InvalidArgumentError: If the cluster has no room for so many.
            EndpointUnreachableError: If they are not there in time.
            RlmeshError: Why a server could not be made.
        """
        count = len(sessions)
        if count > len(self._servers):
            added = self._start(count - len(self._servers), seconds)
        else:
            added = []
        with self._lock:
            before = self._servers, self._sessions
            kept = [*self._servers, *added]
            self._servers, self._sessions = kept[:count], list(sessions)
        try:
            yield
        except BaseException:
            with self._lock:
                self._servers, self._sessions = before
            _end(added)
            raise
        _end(kept[count:])

    def status(self) -> list[ServerStatus]:
        """What is known of each server here: neither its steps, nor its state but for `lost`."""
        with self._lock:
            self._check_open()
            self._look()
            return [_status(each) for each in self._servers]

    def end(self) -> None:
        """Ends every server. May be called repeatedly."""
        if os.getpid() != self._process:
            # A fork of the program has this object, and must not end what is not its own.
            return
        with self._lock:
            self._ended = True
            ending, self._servers = self._servers, []
        _end(ending)

    def _found(self) -> list[str]:
        with self._lock:
            self._check_open()
            self._look()
            return [address for each in self._listed() if (address := each.address)]

    def _check_open(self) -> None:
        if self._ended:
            raise StateError("these servers were ended by close(); make others")

    def _listed(self) -> list[_Server]:
        return [
            server
            for server, sessions in zip(self._servers, self._sessions, strict=True)
            for _ in range(sessions)
        ]

    def _start(self, count: int, seconds: float) -> list[_Server]:
        """Starts servers, waits until their health says SERVING, and checks what they serve."""
        deadline = time.monotonic() + seconds
        present = len(self._servers)
        check_room(self._resources, present + count, present)
        nodes = choose_nodes(self._resources, count, self._placement, seconds)
        started: list[_Server] = []
        try:
            for number, node in enumerate(nodes, present):
                where = NodeAffinitySchedulingStrategy(node, soft=True)
                started.append(_Server(number, self._actor(where), node))
            self._await(started, deadline)
            first = self._servers[0] if self._servers else started[0]
            for server in started:
                self._await_health(server, deadline)
                self._compare(first, server)
        except BaseException:
            _end(started)
            raise
        return started

    def _actor(self, scheduling_strategy: Any) -> Any:
        return self._make.options(scheduling_strategy=scheduling_strategy).remote(self._spec)

    def _await(self, servers: Sequence[_Server], deadline: float) -> None:
        """Waits until each of these servers listens; raises why the first of them does not."""
        waiting = {server.asked: server for server in servers}
        while waiting:
            remaining = max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=remaining)
            if not ready:
                names = ", ".join(str(each.number) for each in waiting.values())
                raise EndpointUnreachableError(
                    f"{len(servers) - len(waiting)} of {len(servers)} servers came up on the Ray "
                    f"cluster in time, but not those with the numbers {names}: their environments "
                    f"are still being made, or Ray starts their processes; give a larger "
                    f"start_timeout_seconds="
                )
            for asked in ready:
                server = waiting.pop(asked)
                server.asked = None
                try:
                    report: Report = ray.get(asked)
                except RayError as error:
                    raise EndpointUnreachableError(
                        f"the process of {server} ended before it served; its last words are in "
                        f"Ray's logs on that node. Ray says: {one_line(str(error), LONGEST_TEXT)}"
                    ) from error
                server.note(report)
                failure = self._failure_of(server)
                if failure is not None:
                    raise failure

    def _await_health(self, server: _Server, deadline: float) -> None:
        remaining = max(0.0, deadline - time.monotonic())
        try:
            wait_until_serving(server.address, remaining, self._tls)
        except EndpointError as error:
            add_note(error, f"this is {server}")
            raise

    def _compare(self, first: _Server, server: _Server) -> None:
        """Refuses a server that does not serve what the first one serves."""
        if first.report is None or server.report is None:
            return
        if first.report.contracts == server.report.contracts:
            return
        pairs = zip(first.report.contracts, server.report.contracts, strict=False)
        differences = tuple(
            difference
            for pair in pairs
            for difference in compare_contracts(*map(self._read_contract, pair))
        )
        shown = "; ".join(map(str, differences[:_DIFFERENCES])) or "their fields differ"
        raise ContractMismatchError(
            f"{server} does not serve what {first} serves: {one_line(shown, LONGEST_TEXT)}. Have "
            f"it be the same on every node, with the same versions of its packages",
            differences=differences,
        )

    def _failure_of(self, server: _Server) -> RlmeshError | None:
        """Why an actor has made no server; None where it has made one."""
        if server.report is None or not server.report.failure:
            return None
        failure = session_pb2.Failure.FromString(server.report.failure)
        failure.message = f"{server}: {failure.message}"
        return error_of_making(failure)

    def _look(self) -> None:
        """Asks every actor where its server is, and starts those elsewhere whose node is gone."""
        if time.monotonic() - self._looked_at < _FRESH_SECONDS:
            return
        doubtful = [server for server in self._servers if server.asked is not None]
        for server in self._servers:
            if server.asked is None:
                server.asked = server.actor.report.remote()
        asked = [server.asked for server in self._servers]
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=_LOOK_SECONDS)
        answered = set(ready)
        nodes = Nodes()
        for server in self._servers:
            if server.asked in answered:
                self._read(server, nodes)
            elif not self._is_there(server, nodes):
                self._start_elsewhere(server, "its node is gone")
            else:
                doubtful.append(server)
        for server in doubtful:
            # Its process may be gone since it answered an earlier question.
            if server.address and not is_listening(parse_address(server.address), _LISTEN_SECONDS):
                server.lost = True
        self._looked_at = time.monotonic()

    def _read(self, server: _Server, nodes: Nodes) -> None:
        """Reads what an actor has answered, or why it has not."""
        asked, server.asked = server.asked, None
        try:
            server.note(ray.get(asked))
        except ActorUnavailableError as error:
            # Ray starts its process again, if its node is still there.
            server.lost = True
            if not self._is_there(server, nodes):
                self._start_elsewhere(server, str(error))
        except ActorDiedError as error:
            server.lost = True
            self._start_elsewhere(server, str(error))
        except RayError as error:
            server.lost = True
            _log.warning("%s does not report: %s", server, one_line(str(error), LONGEST_TEXT))
        else:
            failure = self._failure_of(server)
            if failure is not None:
                server.lost = True
                self._start_elsewhere(server, str(failure))

    def _is_there(self, server: _Server, nodes: Nodes) -> bool:
        """Whether the node of a server is there; True where it has none yet."""
        if server.report is None or server.moved:
            return True
        if server.report.node not in self._gone_nodes and nodes.answers(server.report.node):
            return True
        self._gone_nodes.add(server.report.node)
        return False

    def _start_elsewhere(self, server: _Server, reason: str) -> None:
        _log.warning("%s is lost and is started again: %s", server, one_line(reason, LONGEST_TEXT))
        ray.kill(server.actor)
        server.move(self._actor(anywhere_but(sorted(self._gone_nodes))))


def _status(server: _Server) -> ServerStatus:
    report = server.report
    return ServerStatus(
        node="" if report is None else report.node,
        node_address="" if report is None else report.node_address,
        pid=0 if report is None or server.lost else report.pid,
        address=server.address,
        state="" if server.address else "lost",
        steps=0,
        restarts=server.restarts,
    )


def _end(servers: Sequence[_Server]) -> None:
    """Shuts servers down, then kills their processes."""
    if not servers or not ray.is_initialized():
        # With the program's connection to the cluster end its actors.
        return
    ending = [server.actor.end.remote() for server in servers]
    ray.wait(ending, num_returns=len(ending), timeout=_END_SECONDS)
    for server in servers:
        ray.kill(server.actor)
