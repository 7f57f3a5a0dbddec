"""What an evaluation found."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.evaluation.episode import Episode, Identity
from rlmesh.evaluation.json_data import as_object
from rlmesh.evaluation.plotting import plot
from rlmesh.evaluation.summary import Summary, summary_of
from rlmesh.evaluation.table import table_of
from rlmesh.evaluation.whole_file import whole_file

if TYPE_CHECKING:
    import rich.table

_KIND = "rlmesh evaluation result"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The episodes of an evaluation, and what follows from them.

    Two are equal where the same happened in all episodes, whatever the time and the versions.

    Attributes:
        policy: What the policy is called.
        latency: How long the world waited for it: `frozen`, `measured`, or for how many seconds it
            went on.
        episodes: The episodes, by task and in the order of the seeds.
        contracts: What the environments and the policy were, as far as they have contracts.
        versions: The versions of RLMesh, Gymnasium, NumPy and Python here, by their names.
    """

    policy: str
    latency: str | float
    episodes: tuple[Episode, ...]
    contracts: tuple[Identity, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in their order."""
        return tuple(dict.fromkeys(each.task for each in self.episodes))

    def summary(self, task: str | None = None) -> Summary:
        """How the policy did.

        Args:
            task: In which task; None: in all.

        Returns:
            Counts, means and intervals.

        Raises:
            InvalidArgumentError: If there is no such task.
            StateError: If scipy is not installed.
        """
        if task is not None and task not in self.tasks:
            raise InvalidArgumentError(
                f"there is no task {task!r}; there are {', '.join(map(repr, self.tasks))}"
            )
        return self._summary(task)

    def table(self) -> rich.table.Table:
        """A table for people: a row for each task and, where there are several, one for all.

        Returns:
            A table of rich, which `rich.print` shows.

        Raises:
            StateError: If scipy is not installed.
        """
        tasks = self.tasks
        rows = [self._summary(task) for task in tasks]
        if len(tasks) != 1:
            rows.append(self._summary(None))
        return table_of(rows, self.policy, self.latency)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws the mean return and the success rate of each task, with their intervals.

        Args:
            path: The file; its suffix says the format, such as `.png` or `.svg`.

        Raises:
            StateError: If matplotlib or scipy is not installed.
            InvalidArgumentError: If matplotlib knows no such format.
            OSError: If the file cannot be written.
        """
        plot([self._summary(task) for task in self.tasks], self.policy, path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to a file, which `from_json` reads.

        Args:
            path: The file.

        Raises:
            OSError: If it cannot be written.
        """
        data = {
            "kind": _KIND,
            "version": _VERSION,
            "policy": self.policy,
            "latency": self.latency,
            "versions": dict(self.versions),
            "contracts": [asdict(each) for each in self.contracts],
            "episodes": [each.to_dict() for each in self.episodes],
        }
        with whole_file(path) as file:
            file.write(json.dumps(data, indent=1) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Reads what `to_json` has written.

        Args:
            path: The file.

        Returns:
            An equal evaluation.

        Raises:
            InvalidArgumentError: If the file holds something else.
            OSError: If it cannot be read.
        """
        try:
            data = as_object(json.loads(Path(path).read_text("utf-8")))
        except ValueError as error:
            raise InvalidArgumentError(f"{path} is no JSON: {error}") from error
        if data is None or data.get("kind") != _KIND:
            raise InvalidArgumentError(
                f"{path} is no evaluation; give a file that Evaluation.to_json has written, or "
                f"rlmesh evaluate --json"
            )
        if data.get("version") != _VERSION:
            raise InvalidArgumentError(
                f"{path} is of version {data.get('version')!r}, and this RLMesh reads {_VERSION}"
            )
        try:
            return cls(
                policy=data["policy"],
                latency=data["latency"],
                episodes=tuple(Episode.from_dict(each) for each in data["episodes"]),
                contracts=tuple(Identity.from_dict(each) for each in data["contracts"]),
                versions=data["versions"],
            )
        except (KeyError, TypeError, InvalidArgumentError) as error:
            raise InvalidArgumentError(f"{path} is damaged: {error}") from error

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a table with a row for each episode.

        Args:
            path: The file.

        Raises:
            OSError: If it cannot be written.
        """
        with whole_file(path) as file:
            table = csv.DictWriter(file, _columns())
            table.writeheader()
            table.writerows(asdict(each) for each in self.episodes)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each episode.

        Raises:
            StateError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise StateError(
                "to_pandas needs pandas, which is not installed; install it with "
                "pip install 'rlmesh[evaluate]', or use to_csv"
            ) from error
        return pd.DataFrame([asdict(each) for each in self.episodes], columns=_columns())

    def _summary(self, task: str | None) -> Summary:
        chosen = [each for each in self.episodes if task is None or each.task == task]
        return summary_of(task or "", chosen)


def _columns() -> list[str]:
    return [each.name for each in fields(Episode)]
