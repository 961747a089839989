"""The Ray engine: the same work as tasks of a Ray cluster (machines with one file system)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mofo.motion.detect_worker import Outcome, Task, do, one_thread
from mofo.registry import load_plugins, plugins
from mofo.types import MofoError


class RayPool:
    """Runs tasks on Ray: on the cluster of ``RAY_ADDRESS`` if set, else on this machine.

    Every machine has to see the videos and the store's folder under the same paths.

    Raises:
        MofoError: Ray is not installed.
    """

    def __init__(self, workers: int) -> None:
        try:
            import ray
        except ImportError:
            raise MofoError("engine 'ray' needs Ray: pip install 'mofo[ray]'") from None
        self._ray = ray
        self._workers = workers
        self.frames = 0  # of unfinished videos: not known here

    def run(self, tasks: Iterator[Task]) -> Iterator[Outcome | None]:
        """Outcomes as they come, in no order; None now and then, so that the caller can look up."""
        ray = self._ray
        ours = not ray.is_initialized()
        if ours:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        # A video that kills its worker once would do so again.
        remote = ray.remote(num_cpus=1, max_retries=0)(_do)
        flying: dict[object, Task] = {}
        try:
            while True:
                while len(flying) < 2 * self._workers and (task := next(tasks, None)):
                    flying[remote.remote(task, plugins())] = task
                if not flying:
                    break
                finished, _ = ray.wait(list(flying), timeout=0.5)
                for reference in finished:
                    task = flying.pop(reference)
                    try:
                        yield ray.get(reference)
                    except ray.exceptions.RayError as error:
                        text = (str(error).splitlines() or [type(error).__name__])[0]
                        yield Outcome(task.key, failure=f"the worker process died ({text})")
                yield None
        finally:
            for reference in flying:
                ray.cancel(reference, force=True)
            if ours:
                ray.shutdown()


def _do(task: Task, plugin_names: Sequence[str]) -> Outcome:
    one_thread()
    load_plugins(plugin_names)
    return do(task)
