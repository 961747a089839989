"""The Ray engine: the same work as tasks of a Ray cluster (machines with one file system)."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from mofo.registry import load_plugins, plugins
from mofo.system.pool import ENGINES, Result, Work
from mofo.system.processes import one_thread
from mofo.types import MofoError


@ENGINES.register("ray")
class RayEngine:
    """Runs tasks on Ray: on the cluster of ``RAY_ADDRESS`` if set, else on this machine.

    Every machine has to see the videos and the store's folder under the same paths. ``work``,
    ``workers``: as in ``LocalEngine``. ``stall``: not known here; Ray's own settings rule.
    """

    def __init__(self, work: Work, workers: int, stall: float | None = None) -> None:
        try:
            import ray
        except ImportError:
            raise MofoError("engine 'ray' needs Ray: pip install 'mofo[ray]'") from None
        self._ray = ray
        self._work = work
        self._workers = max(1, workers)
        self.frames = 0  # of unfinished videos: not known here

    def run(self, tasks: Iterator[Any]) -> Generator[Result | None]:
        """See ``Engine.run``."""
        ray = self._ray
        is_ours = not ray.is_initialized()
        if is_ours:
            cpus = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": self._workers}
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR", **cpus)
        # Workers are lost with their machines, too; a video that kills two is to blame itself.
        remote = ray.remote(num_cpus=1, max_retries=1)(_work)
        waiting: dict[object, Any] = {}
        try:
            while True:
                while len(waiting) < 2 * self._workers and (task := next(tasks, None)) is not None:
                    waiting[remote.remote(self._work, task, plugins())] = task
                if not waiting:
                    break
                finished, _ = ray.wait(list(waiting), timeout=0.5)
                for reference in finished:
                    task = waiting.pop(reference)
                    try:
                        yield Result(task, ray.get(reference))
                    except ray.exceptions.RayError as error:
                        text = (str(error).splitlines() or [type(error).__name__])[0]
                        yield Result(task, failure=f"the worker process died ({text})")
                yield None
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)
            if is_ours:
                ray.shutdown()


def _work(work: Work, task: Any, plugin_names: Sequence[str]) -> Any:
    one_thread()
    load_plugins(plugin_names)
    return work(task, None)
