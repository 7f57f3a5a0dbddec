"""Let in only who knows the token, and encrypt what crosses.

    python token_and_tls.py server.pem server.key ca.pem

The server needs a certificate and its key, and the client needs the authority that signed the
certificate. docs/security.md has the commands that make all three for a trial.
"""

from __future__ import annotations

import secrets
import sys

import gymnasium as gym

import rlmesh
from rlmesh.errors import AuthenticationError

certificate, key, authority = sys.argv[1:]
# Both sides read RLMESH_TOKEN where token= is not given.
token = secrets.token_urlsafe(32)

server = rlmesh.EnvServer(
    gym.make("CartPole-v1"),
    token=token,
    tls=rlmesh.ServerTLS(certificate=certificate, key=key),
)
tls = rlmesh.ClientTLS(ca=authority)
with server:
    with rlmesh.RemoteEnv(server.address, token=token, tls=tls) as env:
        observation, info = env.reset(seed=0)
        print(f"let in, the observation has shape {observation.shape}")
    try:
        rlmesh.RemoteEnv(server.address, token=secrets.token_urlsafe(32), tls=tls)
    except AuthenticationError as error:
        print(f"refused: {error}")
