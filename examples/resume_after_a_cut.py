"""Cut the connection in the middle of an episode: the episode goes on, bit for bit.

    python resume_after_a_cut.py

The client reconnects by itself and repeats the call that has no answer yet. The server executes
each call once.
"""

from __future__ import annotations

import socket
import threading
from typing import Any

import gymnasium as gym
import numpy as np

import rlmesh


class Relay:
    """A network between client and server that can be cut. You do not need this class."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target, self._open = target, list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends every connection; the next one is relayed again."""
        while self._open:
            self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            pair = self._listener.accept()[0], socket.create_connection(self._target)
            self.connections += 1
            self._open.append(pair[0])
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


def episode(env: gym.Env[Any, Any], relay: Relay | None = None) -> list[Any]:
    seen = [env.reset(seed=3)[0]]
    for step in range(20):
        if relay and step % 5 == 4:
            relay.cut()
        seen.append(env.step(step % 2)[0])
    return seen


if __name__ == "__main__":
    with rlmesh.EnvServer(gym.make("CartPole-v1")) as server:
        host, _, port = server.address.removeprefix("tcp://").partition(":")
        relay = Relay((host, int(port)))
        # Between two processes of one machine the default is shared memory, which has no cable.
        with rlmesh.RemoteEnv(relay.address, transport="grpc") as env:
            same = np.array_equal(episode(env, relay), episode(gym.make("CartPole-v1")))
            print(f"{relay.connections} connections, same episode: {same}")
