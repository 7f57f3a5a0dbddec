"""Files of video: H.264 in MP4, encoded by FFmpeg as imageio-ffmpeg brings it."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.type_guards import is_array
from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.foreign_text import one_line
from rlmesh.processes.own_group import popen

Frame: TypeAlias = npt.NDArray[np.uint8]

DEFAULT_RATE: Final = 30.0
"""Frames per second where an environment does not say how many."""
_DIMENSIONS = (2, 3)


def check_encoder() -> str:
    """The path of FFmpeg.

    Raises:
        StateError: If imageio-ffmpeg, or the FFmpeg that it looks for, is not installed.
    """
    how = "pip install 'rlmesh[video]'"
    try:
        module: Any = importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise StateError(
            f"videos are encoded by imageio-ffmpeg, which is not installed; {how}"
        ) from error
    try:
        return str(module.get_ffmpeg_exe())
    except RuntimeError as error:
        raise StateError(f"imageio-ffmpeg finds no FFmpeg: {one_line(str(error))}") from error


def _is_frame(image: object) -> TypeGuard[Frame]:
    if not is_array(image) or image.dtype != np.uint8 or not image.size:
        return False
    return image.ndim in _DIMENSIONS and image.shape[2:] in ((), (1,), (3,), (4,))


class VideoWriter:
    """One video, which has its name once it is whole. One thread at a time may call the methods.

    Args:
        path: The file. One that exists is replaced.
        rate: Frames per second.

    Raises:
        StateError: If there is no encoder.
        OSError: If the file cannot be made.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._part = path.with_name(f"{path.name}.part")
        self._shape: tuple[int, ...] | None = None
        self._encoder: subprocess.Popen[bytes] | None = None
        self._executable = check_encoder()
        # FFmpeg says here what went wrong; a pipe that nobody reads would stop it.
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open
        self._part.touch()

    def add(self, frame: object) -> None:
        """Adds a frame. An odd height or width grows by one, by its last line again.

        Args:
            frame: An array of uint8, (height, width) or (height, width, 1, 3 or 4), of the same
                shape each time. The fourth channel is left out.

        Raises:
            InvalidArgumentError: If it is something else.
            OSError: If it cannot be written.
        """
        if not _is_frame(frame) or self._shape not in (None, frame.shape):
            given: object = frame
            got = type(given).__name__
            if is_array(given):
                got = f"{given.dtype}{list(given.shape)}"
            before = "" if self._shape is None else f", all of the shape {list(self._shape)}"
            raise InvalidArgumentError(
                f"the frames of a video are arrays of uint8 of the shape (height, width) or "
                f"(height, width, 1, 3 or 4){before}; got {got}"
            )
        rgb = _even_rgb(frame)
        if self._encoder is None:
            self._shape = frame.shape
            self._encoder = self._start(*rgb.shape[:2])
        assert self._encoder.stdin is not None  # noqa: S101 - for the type checkers
        try:
            self._encoder.stdin.write(rgb.data)
        except OSError as error:
            raise self._failed(self._encoder) from error

    def close(self) -> None:
        """Ends the video and gives it its name. Without a frame there is none.

        Raises:
            OSError: If it cannot be written. Nothing of it is left then.
        """
        encoder = self._encoder
        if encoder is None:
            self.abandon()
            return
        try:
            # What is buffered is written here; FFmpeg may be gone.
            encoder.communicate()
        except OSError as error:
            raise self._failed(encoder) from error
        if encoder.returncode:
            raise self._failed(encoder)
        self._encoder = None
        self._said.close()
        self._part.replace(self._path)

    def abandon(self) -> None:
        """Leaves nothing of a video that has no end. May be called repeatedly."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.kill()
            encoder.wait()
            if encoder.stdin is not None:
                with contextlib.suppress(OSError):  # what FFmpeg did not read
                    encoder.stdin.close()
        self._said.close()
        self._part.unlink(missing_ok=True)

    def _start(self, height: int, width: int) -> subprocess.Popen[bytes]:
        frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        # 18 looks as the frames do; 4:2:0 is what every player shows.
        encoded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-f", "mp4"]
        said = ["-y", "-hide_banner", "-loglevel", "error"]
        # Ctrl-C is for this process, which ends the video.
        return popen(
            [
                *(self._executable, *said, *frames, "-r", str(self._rate), "-i", "-"),
                *(*encoded, str(self._part.absolute())),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )

    def _failed(self, encoder: subprocess.Popen[bytes]) -> OSError:
        code = encoder.wait()
        self._said.seek(0)
        said = one_line(self._said.read().decode(errors="replace").strip())
        self.abandon()
        return OSError(
            f"the video {self._path} cannot be written: {said or f'FFmpeg ended with {code}'}"
        )


def _even_rgb(image: Frame) -> Frame:
    """An image as RGB with an even height and width, as 4:2:0 needs it."""
    if image.ndim == 2:
        image = image[..., None]
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    height, width = rgb.shape[:2]
    return np.ascontiguousarray(np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def rate_of(metadata: Mapping[str, Any]) -> float:
    """Frames per second, as an environment's metadata says, else 30."""
    declared = metadata.get("render_fps")
    if isinstance(declared, bool) or not isinstance(declared, int | float) or not declared > 0:
        return DEFAULT_RATE
    return float(declared)
