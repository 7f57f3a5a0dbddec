"""A program that serves one environment: `python -m support.serve_module NAME [options]`.

It prints its address when it is bound, and ends by a signal.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any


def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("--num-envs", type=int)
    parser.add_argument("--mode", default="NEXT_STEP")
    parser.add_argument("--address", default="tcp://127.0.0.1:0")
    parser.add_argument("--start", action="store_true", help="start() and wait(), not serve()")
    parser.add_argument("--without-gymnasium", action="store_true")
    parser.add_argument("--direct", action="store_true", help="offer the direct transport")
    parser.add_argument("--resume", type=float, default=10.0, help="seconds to keep a session")
    arguments = parser.parse_args()
    if arguments.without_gymnasium:
        # Importing it raises from now on.
        sys.modules["gymnasium"] = None  # type: ignore[assignment] # how Python spells it
    import rlmesh

    # Where a test runs over the direct transport, see its fixture.
    offers_direct = arguments.direct or os.environ.get("RLMESH_TRANSPORT") == "direct"
    direct = "tcp://127.0.0.1:0" if offers_direct else None
    options = rlmesh.ServeOptions(resume_timeout_seconds=arguments.resume)
    server = rlmesh.EnvServer(_make(arguments), arguments.address, direct=direct, options=options)
    print(server.address, flush=True)  # noqa: T201 - the line that the test waits for
    if arguments.start:
        server.start()
        server.wait()
    else:
        server.serve()


def _make(arguments: argparse.Namespace) -> Any:
    if arguments.without_gymnasium:
        from support import plain_envs

        return {"plain": plain_envs.PlainCounter, "plain-vector": plain_envs.PlainVector}[
            arguments.what
        ]()
    from gymnasium.vector import AutoresetMode

    from support import sample_envs

    return sample_envs.make(arguments.what, arguments.num_envs, AutoresetMode[arguments.mode])


if __name__ == "__main__":
    main()
