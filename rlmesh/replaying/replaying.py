"""`rlmesh.replay`."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Any

from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.contract import ContractDifference, EnvContract, compare_contracts
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.recording.contracts import contract_in_use
from rlmesh.recording.reading import RecordingFiles, open_recordings
from rlmesh.replaying.comparing import Comparison
from rlmesh.replaying.opening import open_env
from rlmesh.replaying.player import Player
from rlmesh.replaying.results import Replay, ReplayedEpisode


def replay(
    path: str | os.PathLike[str],
    env_or_address: Any,
    *,
    tolerance: float | None = None,
    ignore: Collection[str] = (),
) -> Replay:
    """Repeats what a recording holds, and names the first difference of each episode.

    The contracts are compared first. Then each reset and each action is repeated, and each
    observation, reward, flag and info compared bit for bit with what was recorded.

    Args:
        path: A recording, or a folder of recordings.
        env_or_address: An environment, which stays open; a callable that makes one; the id of a
            registered environment; or the address of a served one. Of the same kind as the recorded
            one, single or vector.
        tolerance: How far two floats may lie apart, absolutely or in relation to the recorded one.
            None: each bit counts.
        ignore: Places in infos that are not compared, `$.seconds`. The time that
            `RecordEpisodeStatistics` measures, `$.episode.t`, never is, nor what RLMesh adds.

    Returns:
        What is the same and what is not.

    Raises:
        InvalidArgumentError: If there is no recording, it cannot be read, or `tolerance` is
            negative.
        ArgumentTypeError: If `env_or_address` is no environment, or `tolerance` no number.
        StateError: If the package `mcap` is not installed.
        RlmeshError: If connecting fails, or the connection breaks.
        Exception: What making the environment raised.
    """
    return replay_with({}, path, env_or_address, tolerance=tolerance, ignore=ignore)


def replay_with(
    options: dict[str, Any],
    path: str | os.PathLike[str],
    env_or_address: Any,
    *,
    tolerance: float | None = None,
    ignore: Collection[str] = (),
) -> Replay:
    """As `replay`, which documents all else, with options for the connection to an address.

    Args:
        options: Keyword arguments of `RemoteEnv`.
        path: As `replay` has it.
        env_or_address: Likewise.
        tolerance: Likewise.
        ignore: Likewise.
    """
    _check_tolerance(tolerance)
    recordings = open_recordings(path)
    contracts = [each.contract for each in recordings]
    with ExitStack() as stack:
        env = open_env(env_or_address, contracts[0], stack, **options)
        found = contract_in_use(env)
        differences = {
            str(each): each for old in contracts for each in compare_contracts(old, found)
        }
        refused = next(filter(None, (_why_not(old, found) for old in contracts)), None)
        if refused is not None:
            return _result(list(differences.values()), refused, [], [], {}, 0, tolerance)
        episodes: list[ReplayedEpisode] = []
        ignored: dict[str, None] = {}
        skipped = 0
        for files in recordings:
            comparison = Comparison(files, tolerance, ignore)
            player = Player(files, env, comparison)
            player.run()
            episodes += player.results()
            ignored |= comparison.infos.ignored
            skipped += player.skipped
    return _result(
        list(differences.values()), None, episodes, recordings, ignored, skipped, tolerance
    )


def _result(
    differences: list[ContractDifference],
    refused: str | None,
    episodes: list[ReplayedEpisode],
    recordings: Sequence[RecordingFiles],
    ignored: dict[str, None],
    skipped: int,
    tolerance: float | None,
) -> Replay:
    return Replay(
        contract_differences=tuple(differences),
        refused=refused,
        episodes=tuple(episodes),
        ignored=tuple(ignored),
        damages=tuple(str(damage) for files in recordings for damage in files.damages),
        skipped_steps=skipped,
        tolerance=tolerance,
    )


def _why_not(old: EnvContract, new: EnvContract) -> str | None:
    """Why the calls of one environment cannot be repeated in another; None where they can."""
    if (old.vector, old.num_envs) != (new.vector, new.num_envs):
        kinds = [
            f"a vector environment of {each.num_envs}" if each.vector else "a single environment"
            for each in (old, new)
        ]
        return f"the recording is one of {kinds[0]}, and this is {kinds[1]}; give one of its kind"
    if old.autoreset_mode is not new.autoreset_mode:
        modes = [each.autoreset_mode and each.autoreset_mode.value for each in (old, new)]
        return (
            f"the recorded environment has the autoreset mode {modes[0]}, and this one {modes[1]}; "
            f"give one of the same mode"
        )
    for name in ("observation_space", "action_space"):
        before, now = (
            _form(compile_layout(getattr(each, name), each.num_envs if each.vector else None))
            for each in (old, new)
        )
        if before != now:
            return f"the {name} has other leaves, shapes or dtypes than the recorded one"
    return None


def _form(layout: Layout) -> list[tuple[object, ...]]:
    return [
        (leaf.path, leaf.dtype, leaf.shape, type(leaf.space).__name__) for leaf in layout.leaves
    ]


def _check_tolerance(tolerance: Any) -> None:
    if tolerance is None:
        return
    if isinstance(tolerance, bool) or not isinstance(tolerance, numbers.Real):
        raise ArgumentTypeError(f"tolerance must be a number or None, got {tolerance!r:.80}")
    if not 0 <= float(tolerance) < math.inf:
        raise InvalidArgumentError(f"tolerance must be 0 or more, and finite, got {tolerance}")
