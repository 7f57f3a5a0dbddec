"""A network line between two namespaces, with a delay and a loss: a program that carries packets.

    python -m benchmarks.line NAMESPACE NAMESPACE DELAY_SECONDS LOSS

The delay and the part of packets that are lost count for each direction. In each namespace it makes
the device `line`, prints a line of text once both are there, and runs until it is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from pathlib import Path

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
# Of linux/if_tun.h.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_LARGEST_PACKET = 1 << 16


def main(names: list[str], delay: float, loss: float) -> None:
    """Carries packets until it is ended."""
    ends = [_device(name) for name in names]
    print("ready", flush=True)
    others = dict(zip(ends, reversed(ends), strict=True))
    chance = random.Random(0)  # noqa: S311 - no secret
    # When each packet is due, its number, where it goes, and the packet.
    waiting: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select(ends, [], [], timeout)
        now = time.monotonic()
        for end in readable:
            packet = os.read(end, _LARGEST_PACKET)
            if chance.random() >= loss:
                number += 1
                heapq.heappush(waiting, (now + delay, number, others[end], packet))
        while waiting and waiting[0][0] <= now:
            _, _, end, packet = heapq.heappop(waiting)
            with contextlib.suppress(OSError):  # that end is not up yet: the packet is lost
                os.write(end, packet)


def _device(namespace: str) -> int:
    """Makes the device `line` in a namespace; a descriptor of its packets."""
    libc = ctypes.CDLL(None, use_errno=True)
    inside = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    if libc.setns(inside, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")
    os.close(inside)
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"line", _IFF_TUN | _IFF_NO_PI))
    return device


if __name__ == "__main__":
    main(sys.argv[1:3], float(sys.argv[3]), float(sys.argv[4]))
