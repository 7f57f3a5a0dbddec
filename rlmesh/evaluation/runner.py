"""Runs the episodes of an evaluation on several threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from rlmesh.evaluation.driving import Drive, Found, Rules
from rlmesh.evaluation.sources import Sources


def run(
    tasks: Mapping[str, Sources],
    waiting: Mapping[str, Sequence[int]],
    rules: Rules,
    workers: int,
    report: Callable[[Found], None],
) -> None:
    """Runs each seed that waits once, and reports each episode as it ends.

    A worker that is free takes the next seed: none waits for the slowest. Where the caller is
    interrupted, what has ended is reported, and what is in progress is dropped.

    Args:
        tasks: Where the environments of each task come from.
        waiting: The seeds of each task, in their order.
        rules: What holds for every episode.
        workers: How many threads there are.
        report: Called on the caller's thread.

    Raises:
        BaseException: What making an environment or connecting raised, or `report`, or what
            interrupted the caller. What has ended by then is reported.
    """
    _Run(tasks, waiting, rules, report).run(workers)


class _Run:
    """One call of `run`. `_changed` guards all that changes."""

    def __init__(
        self,
        tasks: Mapping[str, Sources],
        waiting: Mapping[str, Sequence[int]],
        rules: Rules,
        report: Callable[[Found], None],
    ) -> None:
        self._tasks = tasks
        self._rules = rules
        self._report = report
        self._changed = threading.Condition()
        self._waiting = {task: deque(seeds) for task, seeds in waiting.items()}
        self._found: deque[Found] = deque()
        self._failure: BaseException | None = None
        self._stopped = False
        self._busy = 0

    def run(self, workers: int) -> None:
        count = min(workers, sum(map(len, self._waiting.values())))
        threads = [
            threading.Thread(target=self._work, name="rlmesh-evaluation", daemon=True)
            for _ in range(count)
        ]
        self._busy = count
        try:
            for thread in threads:
                thread.start()
            for found in self._reports():
                self._report(found)
        except Exception:  # of `report`, which would raise again
            self._stop()
            raise
        except BaseException:  # an interruption
            self._stop()
            self._report_rest()
            _join(threads)
            self._report_rest()
            raise
        finally:
            _join(threads)
        if self._failure is not None:
            raise self._failure

    def take(self, task: str) -> int | None:
        """The next seed of the task, for a worker; None where none waits."""
        with self._changed:
            waiting = self._waiting[task]
            return waiting.popleft() if waiting and not self._stopped else None

    def stopped(self) -> bool:
        """Whether workers are to drop what is in progress."""
        return self._stopped

    def _reports(self) -> Iterator[Found]:
        while True:
            with self._changed:
                while self._busy and not self._found:
                    self._changed.wait()
                if not self._found:
                    return
                found = self._found.popleft()
            yield found

    def _report_rest(self) -> None:
        """Reports what has ended already, after an interruption."""
        while True:
            with self._changed:
                if not self._found:
                    return
                found = self._found.popleft()
            self._report(found)

    def _note(self, found: Found) -> None:
        """Called by workers."""
        with self._changed:
            self._found.append(found)
            self._changed.notify()

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True

    def _work(self) -> None:
        try:
            for task, sources in self._tasks.items():
                self._work_on(task, sources)
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            with self._changed:
                self._failure = self._failure or error
                self._stopped = True
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify()

    def _work_on(self, task: str, sources: Sources) -> None:
        with self._changed:
            if not self._waiting.get(task):
                return
        source = sources.take()
        if source is None:
            return
        try:
            Drive(task, source, self._rules, self, self._note).run()
        finally:
            sources.give_back(source)


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        if thread.ident is not None:
            thread.join()
