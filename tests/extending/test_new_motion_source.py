"""A motion source of one's own: one class, from the command line to training and evaluation."""

from __future__ import annotations

from mofo import cli
from mofo.clips.plan import FrameMotion
from mofo.clips.sources import MOTION_SOURCES, MotionSource


@MOTION_SOURCES.register("left half")
class LeftHalf(MotionSource):
    """As if whatever is on the left moved."""

    about = "the left half of the frame"

    def frame_motion(self, request):
        index = request.index
        return FrameMotion.everywhere([0, 0, index.width / 2, index.height], request.plan.span)


def test_train_and_evaluate_with_it(tmp_path, capsys):
    from helpers.classifiers import write_videos
    from mofo.evaluation.results import read_results

    table = write_videos(tmp_path / "videos", 4, ("push", "pull"))
    plugin = ["--plugin", __file__]
    recipe = [
        "--data.source", str(table), "--data.areas", "left half", "--data.frames", "4",
        "--data.size", "32", "--data.stride", "2", "--model.size", "nano",
        "--run.micro_batch", "2", "--run.workers", "1", "--quiet",
    ]  # fmt: skip
    first, fine = str(tmp_path / "first"), str(tmp_path / "fine")
    steps = ["--optim.epochs", "1", "--optim.batch", "4", "--optim.warmup_epochs", "0"]
    assert cli.main(["pretrain", *recipe, *steps, "--run.out", first, *plugin]) == 0
    assert cli.main(["finetune", *recipe, *steps, "--run.out", fine, *plugin]) == 0
    words = [
        "evaluate",
        "--encoder",
        fine,
        str(table),
        "--views",
        "1x1",
        "--workers",
        "1",
        "--quiet",
    ]
    assert cli.main([*words, "--out", str(tmp_path / "results"), *plugin]) == 0
    results = read_results(tmp_path / "results" / "results.json")
    assert results.about["areas"] == "the left half of the frame"
    capsys.readouterr()
    assert cli.main([*words, "--areas", "left hal", *plugin]) == 1
    assert "did you mean 'left half'" in capsys.readouterr().err
