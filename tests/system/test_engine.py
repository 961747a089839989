"""Engines and the beginning of workers."""

import os
from contextlib import closing

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from mofo.registry import PLUGINS_VARIABLE, plugins, use_plugins
from mofo.system.pool import ENGINES, InProcess
from mofo.system.processes import THREAD_VARIABLES


def look(task, progress):
    """What a worker is like."""
    np.ones((64, 64)) @ np.ones((64, 64))
    threads = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
    if progress is not None:
        progress(task)
    return task, threads, [os.environ.get(name) for name in THREAD_VARIABLES], plugins()


@pytest.mark.parametrize("kind", [InProcess, ENGINES["local"]])
def test_every_task_gives_a_result(kind):
    with closing(kind(look, 2).run(iter(range(1, 6)))) as results:
        results = [result for result in results if result is not None]
    assert sorted(result.value[0] for result in results) == [1, 2, 3, 4, 5]
    assert all(result.task == result.value[0] and not result.failure for result in results)


def test_a_worker_has_one_thread_and_its_parent_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    before = dict(os.environ)
    with closing(ENGINES["local"](look, 1).run(iter([1]))) as results:
        [result] = [result for result in results if result is not None]
    _, threads, variables, _ = result.value
    assert threads
    assert set(threads.values()) == {1}
    assert variables == ["1"] * len(THREAD_VARIABLES)
    assert dict(os.environ) == before


def test_a_worker_knows_the_plugins_of_its_parent(monkeypatch, tmp_path):
    monkeypatch.delenv(PLUGINS_VARIABLE, raising=False)
    plugin = tmp_path / "some_plugin_of_a_test.py"
    plugin.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with use_plugins([str(plugin)]):
        with closing(ENGINES["local"](look, 1).run(iter([1]))) as results:
            [result] = [result for result in results if result is not None]
        assert result.value[3] == (str(plugin),)
