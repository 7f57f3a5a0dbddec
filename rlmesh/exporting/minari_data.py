"""A data set of Minari."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.exporting.episodes import EpisodeReader, WholeEpisode
from rlmesh.recording.reading import RecordingFiles
from rlmesh.spaces import to_gymnasium_space

# As Minari reads it. It finds no data set at all in a folder that has one of another id.
_ID = re.compile(r"(?:[\w-][\w/-]*[\w-]/)?[\w-]+-v\d+")


def write_minari(files: list[RecordingFiles], dataset_id: str) -> list[str]:
    """Writes a data set into Minari's folder; returns what was left out.

    All values have the same bits, images included, which are not compressed as JPEG.

    Args:
        files: The recordings, all with the same spaces.
        dataset_id: Its id, `cartpole/test-v0`; no data set has it yet.

    Raises:
        InvalidArgumentError: If the id is none, or taken, or a recording cannot be read.
        StateError: If Minari is not installed.
    """
    if not _ID.fullmatch(dataset_id):
        raise InvalidArgumentError(
            f"{dataset_id!r:.80} is no id of a data set of Minari; give one as cartpole/test-v0"
        )
    try:
        minari: Any = importlib.import_module("minari")
    except ImportError as error:
        raise StateError(
            "data sets of Minari are written by minari, which is not installed; "
            "pip install 'minari[hdf5]'"
        ) from error
    if dataset_id in minari.list_local_datasets():
        raise InvalidArgumentError(
            f"there is a data set {dataset_id} already; give another id, or delete it: "
            f"minari delete {dataset_id}"
        )
    contract = files[0].contract
    reader = EpisodeReader(files)
    spec = contract.spec
    known = None if spec is None else gymnasium.registry.get(spec.id)
    with warnings.catch_warnings():
        # It wishes for an author and for the address of code, which a recording does not have.
        warnings.simplefilter("ignore", UserWarning)
        minari.create_dataset_from_buffers(
            dataset_id,
            _buffers(reader, minari.data_collector.EpisodeBuffer),
            env=known,
            observation_space=to_gymnasium_space(contract.observation_space),
            action_space=to_gymnasium_space(contract.action_space),
            description="Exported from a recording of RLMesh.",
            data_format="hdf5",
            jpeg_encoding=False,
        )
    return [*reader.notes, "infos are not in the data set"]


def _buffers(reader: EpisodeReader, buffer: Any) -> Iterator[Any]:
    for number, episode in enumerate(reader.episodes()):
        yield buffer(
            id=number,
            seed=episode.seed,
            options=_plain_options(episode),
            observations=_columns(episode.observations),
            actions=_columns(episode.actions),
            rewards=episode.rewards,
            terminations=episode.terminations,
            truncations=episode.truncations,
            infos={},
        )


def _plain_options(episode: WholeEpisode) -> Any:
    """The options, where Minari can hold them: numbers and texts by name."""
    options = episode.options
    if not is_mapping(options) or episode.env_index is not None:
        return None
    kept: dict[str, Any] = {
        key: value
        for key, value in options.items()
        if isinstance(key, str) and isinstance(value, bool | int | float | str)
    }
    return kept or None


def _columns(values: list[Any]) -> Any:
    """Values of one structure as the structure of their lists."""
    first = values[0]
    if is_mapping(first):
        return {key: _columns([value[key] for value in values]) for key in first}
    if is_row(first):
        return tuple(_columns([value[index] for value in values]) for index in range(len(first)))
    return values
