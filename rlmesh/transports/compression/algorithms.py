"""The compressions by name: LZ4 and Zstandard, as far as they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from functools import lru_cache
from typing import Any

from rlmesh_api.v1 import session_pb2

__all__ = ["BY_NAME", "IDENTITY", "LIBRARIES", "NAMES", "available", "compress", "decompress"]

IDENTITY, LZ4, ZSTD = (
    session_pb2.COMPRESSION_IDENTITY,
    session_pb2.COMPRESSION_LZ4,
    session_pb2.COMPRESSION_ZSTD,
)

BY_NAME = {"none": IDENTITY, "lz4": LZ4, "zstd": ZSTD}
"""The compressions, by the words of a user."""

NAMES = {compression: name for name, compression in BY_NAME.items()}
"""The words of a user, by compression."""

LIBRARIES = {LZ4: "lz4", ZSTD: "zstandard"}
"""The package that each needs."""

_MODULES = {LZ4: "lz4.block", ZSTD: "zstandard"}

# The fastest level: higher ones take longer than they save on lines of 100 Mbit/s and more.
_ZSTD_LEVEL = 1


@lru_cache
def available() -> tuple[session_pb2.Compression.ValueType, ...]:
    """The compressions whose packages are installed, the one that computes least first."""
    return tuple(
        compression
        for compression, library in LIBRARIES.items()
        if importlib.util.find_spec(library) is not None
    )


def compress(data: Any, compression: session_pb2.Compression.ValueType) -> bytes:
    """Compresses bytes.

    Args:
        data: The bytes, in any object with a buffer.
        compression: One of `available`.
    """
    if compression == LZ4:
        block: bytes = _module(LZ4).compress(data, store_size=False)
        return block
    frame: bytes = _zstd().compressor.compress(data)
    return frame


def decompress(data: bytes, compression: session_pb2.Compression.ValueType, size: int) -> bytes:
    """The bytes that were compressed.

    No more memory is used than for `size` bytes, whatever the data says.

    Args:
        data: What `compress` returned.
        compression: How it is compressed.
        size: How many bytes the result has.

    Raises:
        ValueError: If the data is damaged, or the result has another size.
        MemoryError: If there is no memory for the result.
    """
    if compression == IDENTITY:
        result = data
    elif compression in available():
        result = _lz4_bytes(data, size) if compression == LZ4 else _zstd().bytes_of(data, size)
    else:
        raise ValueError(f"this side does not know the compression {compression}")
    if len(result) != size:
        raise ValueError(f"the data has {len(result)} bytes uncompressed, and {size} are announced")
    return result


def _lz4_bytes(data: bytes, size: int) -> bytes:
    lz4 = _module(LZ4)
    try:
        result: bytes = lz4.decompress(data, uncompressed_size=size)
    except lz4.LZ4BlockError as error:
        raise ValueError(f"no block of LZ4 for {size} bytes: {error}") from error
    return result


class _Zstd(threading.local):
    """A thread's compressor and decompressor: neither may be used by two threads at once."""

    def __init__(self) -> None:
        zstandard = _module(ZSTD)
        self._error: type[Exception] = zstandard.ZstdError
        self._size_of = zstandard.frame_content_size
        self.compressor: Any = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def bytes_of(self, data: bytes, size: int) -> bytes:
        """What a frame holds, if its header says that it holds `size` bytes."""
        try:
            # The header decides how much memory is used.
            announced = self._size_of(data)
            if announced != size:
                raise ValueError(
                    f"the frame's header says {announced} bytes, and {size} are announced"
                )
            result: bytes = self._decompressor.decompress(data, allow_extra_data=False)
        except self._error as error:
            raise ValueError(f"no frame of Zstandard: {error}") from error
        return result


@lru_cache
def _zstd() -> _Zstd:
    return _Zstd()


@lru_cache
def _module(compression: session_pb2.Compression.ValueType) -> Any:
    return importlib.import_module(_MODULES[compression])
