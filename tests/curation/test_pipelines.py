"""The function for rows in the pipelines of others; docs/curation.md has the same lines."""

import importlib.util
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from mofo.curation import score_row


def test_rows_and_batches(videos, tmp_path):
    function = pickle.loads(pickle.dumps(partial(score_row, column="file", window=0)))
    paths = [str(videos / "mover.mp4"), str(tmp_path / "missing.mp4")]
    good, bad = (function({"file": path, "id": k}) for k, path in enumerate(paths))
    assert good["moving"] > 0.7
    assert (good["id"], good["error"]) == (0, "")
    assert "missing.mp4" in bad["error"]
    assert np.isnan(bad["moving"])
    assert {name: type(value) for name, value in good.items()} == {
        name: type(value) for name, value in bad.items()
    }
    for column in (paths, np.array(paths), np.array(paths, object)):
        batch = function({"file": column, "id": [0, 1]})
        assert batch["moving"][0] == good["moving"]
        assert batch["error"][1] == bad["error"]
        assert {len(values) for values in batch.values()} == {2}
    assert function({"file": []}) == {"file": []}


def test_hugging_face_datasets(videos):
    datasets = pytest.importorskip("datasets.arrow_dataset")
    rows = datasets.Dataset.from_dict({"path": [str(videos / "mover.mp4"), "missing.mp4"]})
    for scored in (rows.map(score_row), rows.map(score_row, batched=True)):
        assert scored[0]["moving"] > 0.7
        assert "missing.mp4" in scored[1]["error"]


RAY = """
import sys
import ray
from mofo.curation import score_row

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
rows = ray.data.from_items([{"path": path} for path in sys.argv[1:]])
for scored in (rows.map(score_row), rows.map_batches(score_row)):
    good, bad = sorted(scored.take_all(), key=lambda row: row["error"])
    assert good["moving"] > 0.7, good
    assert "missing.mp4" in bad["error"], bad
"""


@pytest.mark.slow
def test_ray_data(videos, tmp_path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    words = [sys.executable, "-c", RAY, str(videos / "mover.mp4"), "missing.mp4"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
