"""Films the episodes of an evaluation: a video of each, of what the environment renders."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from rlmesh.errors import InvalidArgumentError
from rlmesh.evaluation.worlds import World
from rlmesh.recording.parts import check_folder
from rlmesh.recording.video import DEFAULT_RATE, VideoWriter, check_encoder
from rlmesh.recording.writer import RecordingError


def check_films(folder: Path, tasks: Iterable[str]) -> Path:
    """The folder for videos, made where there is none.

    Args:
        folder: The folder.
        tasks: The names of the tasks.

    Raises:
        InvalidArgumentError: If it is a file, or cannot be made, or two tasks would have the same
            files.
        StateError: If there is no encoder.
    """
    check_encoder()
    words: dict[str, str] = {}
    for task in tasks:
        other = words.setdefault(_word(task), task)
        if other != task:
            raise InvalidArgumentError(
                f"the videos of the tasks {other!r} and {task!r} would have the same names; give "
                f"one of them another name"
            )
    return check_folder(folder, None)


def check_rendering(world: World) -> None:
    """Checks that an environment renders frames.

    Raises:
        InvalidArgumentError: If it does not.
    """
    if world.render_mode != "rgb_array":
        raise InvalidArgumentError(
            f"a video needs what an environment renders, and its render mode is "
            f'{world.render_mode!r:.80}: make it with render_mode="rgb_array", also where it is '
            f"served; images in its observations are recorded, and `rlmesh export --to video` "
            f"makes videos of them"
        )


def film_path(folder: Path, task: str, seed: int) -> Path:
    """The file of an episode: `seed-00003.mp4`, after the name of the task where it has one."""
    return folder / f"{_word(task)}{'-' * bool(task)}seed-{seed:05}.mp4"


class Films:
    """The videos of the episodes in progress, by their seeds. One thread calls all methods.

    Each method raises `RecordingError` where a file cannot be written.

    Args:
        folder: Where they go.
        task: The name of the task.
        step_seconds: How long a step lasts in the world; None: it does not say.
    """

    def __init__(self, folder: Path, task: str, step_seconds: float | None) -> None:
        self._folder = folder
        self._task = task
        self._rate = DEFAULT_RATE if step_seconds is None else 1 / step_seconds
        self._open: dict[int, VideoWriter] = {}

    def begin(self, seed: int) -> None:
        """Begins the video of an episode."""
        with _written():
            path = film_path(self._folder, self._task, seed)
            self._open[seed] = VideoWriter(path, self._rate)

    def add(self, seed: int, frame: Any) -> None:
        """Adds what was rendered.

        Raises:
            InvalidArgumentError: If it is no frame.
        """
        with _written():
            self._open[seed].add(frame)

    def end(self, seed: int) -> None:
        """Ends the video of an episode that has ended."""
        film = self._open.get(seed)
        if film is not None:
            with _written():
                film.close()
            del self._open[seed]

    def drop(self, seed: int) -> None:
        """Leaves nothing of the video of an episode that is run again."""
        film = self._open.pop(seed, None)
        if film is not None:
            film.abandon()

    def close(self) -> None:
        """Leaves nothing of the videos of episodes without an end."""
        for seed in list(self._open):
            self.drop(seed)


@contextlib.contextmanager
def _written() -> Generator[None]:
    try:
        yield
    except OSError as error:
        # No outcome of an episode, and every other one would fail alike.
        raise RecordingError(*error.args) from error


def _word(task: str) -> str:
    return re.sub(r"[^\w.-]+", "-", task)
