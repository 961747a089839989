import numpy as np
import pytest

import mofo
from mofo.curation.preference import preferred_shares
from mofo.datasets.video import Video
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.pretrain_task import PretrainTask
from mofo.types import SettingsError


def test_lively_videos_are_seen_more_often(videos, tmp_path):
    scores, listed = tmp_path / "scores.parquet", tmp_path / "list.csv"
    names = ["still.mp4", "mover.mp4", "pan.mp4"]
    listed.write_text("path\n" + "".join(f"{videos / name}\n" for name in names))
    mofo.score_many([videos / name for name in names[:2]], scores, workers=0, progress=False)
    catalog = mofo.read_catalog([listed])
    share_V = preferred_shares(catalog.videos, str(scores))
    assert share_V.sum() == pytest.approx(1)
    assert share_V[0] < share_V[2] < share_V[1]  # the one without a score stands between
    settings = PretrainSettings.from_yaml(
        "tiny",
        data={"source": str(listed), "areas": "none", "prefer": f"{scores}:speed_50"},
        run={"out": str(tmp_path / "run")},
    )
    by_speed = preferred_shares(catalog.videos, f"{scores}:speed_50")
    assert np.array_equal(PretrainTask(settings).share_V, by_speed)
    for prefer, fact in ((f"{scores}:moveing", "'moving'"), (f"{scores}:path", "path")):
        with pytest.raises(SettingsError, match=fact):
            preferred_shares(catalog.videos, prefer)
    with pytest.raises(SettingsError, match="none of these videos"):
        preferred_shares([Video("other.mp4", "other.mp4")], str(scores))
