"""The function for rows in the pipelines of others; docs/curation.md has the same lines."""

import pickle
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


@pytest.mark.slow
def test_ray_data(videos):
    ray = pytest.importorskip("ray")
    data = pytest.importorskip("ray.data")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        rows = data.from_items([{"path": str(videos / "mover.mp4")}, {"path": "missing.mp4"}])
        for scored in (rows.map(score_row), rows.map_batches(score_row)):
            good, bad = sorted(scored.take_all(), key=lambda row: row["error"])
            assert good["moving"] > 0.7
            assert "missing.mp4" in bad["error"]
    finally:
        ray.shutdown()
