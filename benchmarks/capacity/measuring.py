"""What stepping a fleet costs the client and the server, measured on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rlmesh
from benchmarks.environments import Camera, Flat
from benchmarks.peer import Announce, peer

FLEETS = (1, 2, 4, 8, 16)
TRANSPORTS = ("shm", "direct", "grpc")
OBSERVATIONS = {
    "cartpole": "4 float32",
    "image-84": "84x84x3 uint8",
    "image-480": "480x640x3 uint8",
}
_MAKERS: dict[str, Any] = {
    "cartpole": Flat,
    "image-84": lambda: Camera(84, 84),
    "image-480": lambda: Camera(480, 640),
}
_WARM_STEPS = 50
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """What a step of one environment of a fleet has cost, without the environment's own work.

    Attributes:
        observation: A name in `OBSERVATIONS`.
        transport: The transport.
        envs: How many environments one client has stepped together, all of one server process.
        seconds: Seconds from one step of one of them to the next.
        client_seconds: Seconds of the client's processor for it.
        server_seconds: Seconds of the server's processor for it.
        nbytes: The bytes of its request and its answer.
    """

    observation: str
    transport: str
    envs: int
    seconds: float
    client_seconds: float
    server_seconds: float
    nbytes: int


def measure(seconds: float) -> Iterator[Measured]:
    """Steps fleets of every size and observation on every transport, for so many seconds each."""
    for observation in OBSERVATIONS:
        with peer(_serve, observation) as announced:
            process, address = announced.split()
            for transport in TRANSPORTS:
                for envs in FLEETS:
                    yield _measured(observation, transport, envs, address, int(process), seconds)


def _serve(announce: Announce, observation: str) -> None:
    with rlmesh.EnvServer(
        _MAKERS[observation],
        "tcp://127.0.0.1:0",
        direct="tcp://127.0.0.1:0",
        sessions=max(FLEETS),
    ) as server:
        announce(f"{os.getpid()} {server.address}")
        server.wait()


def _measured(
    observation: str, transport: Any, envs: int, address: str, server: int, seconds: float
) -> Measured:
    action = np.zeros(envs, np.int64)
    client = rlmesh.RemoteVectorEnv[Any, Any]([address] * envs, transport=transport)
    try:
        if client.transport != transport:
            raise RuntimeError(f"{transport} was asked for, and {client.transport} came")
        client.reset(seed=0)
        for _ in range(_WARM_STEPS):
            client.step(action)
        count = 0
        theirs, ours = _processor_seconds(server), time.process_time()
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            client.step(action)
            count += 1
        took = time.perf_counter() - began
        ours, theirs = time.process_time() - ours, _processor_seconds(server) - theirs
        steps = client.stats()["step"]
    finally:
        client.close()
    each = count * envs
    return Measured(
        observation=observation,
        transport=transport,
        envs=envs,
        seconds=took / each,
        client_seconds=ours / each,
        server_seconds=theirs / each,
        nbytes=round((steps.sent_bytes + steps.received_bytes) / steps.count),
    )


def _processor_seconds(process: int) -> float:
    """How many seconds a process has used of any processor, to a hundredth."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
