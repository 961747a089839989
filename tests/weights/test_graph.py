"""Classifiers as ONNX and as torch's own graph: the same logits, for any batch and any area."""

import pytest
import torch

from helpers import official
from helpers.lanes import slow_but
from mofo import cli
from mofo.training.saved_models import open_classifier
from mofo.weights.exporting import export_weights
from mofo.weights.graph import TorchExport
from mofo.weights.importing import import_weights
from mofo.weights.loading import WeightsError

KINDS = {
    "mean": official.finetuned_shapes(96, 2, 4),
    "cross_attention": official.mofo_shapes(96, 2, 4),
}


@pytest.fixture(params=slow_but(("cross_attention",), KINDS))
def checkpoint(request, tmp_path):
    torch.save({"model": official.drawn(KINDS[request.param])}, tmp_path / "weights.pth")
    path = tmp_path / request.param
    return import_weights(tmp_path / "weights.pth", path, made_for=(4, 32)).path


def inputs(batch):
    inside = torch.rand(batch, 8, generator=torch.Generator().manual_seed(7)) < 0.4
    inside[0] = False
    inside[-1] = True
    return official.clips(batch, 4, 32, seed=9), inside


def wanted(checkpoint, frames, inside):
    with torch.no_grad():
        return open_classifier(checkpoint).model(frames, inside)["label"]


def test_onnx(checkpoint, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'mofo[onnx]'")
    done = export_weights(checkpoint, tmp_path / "model.onnx", "onnx")
    assert done.difference <= 1e-4
    assert not done.notes
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    kinds = {one.name: one.type for one in session.get_inputs()}
    assert kinds["frames"] == "tensor(uint8)"
    assert kinds.get("inside") == (None if checkpoint.name == "mean" else "tensor(bool)")
    assert [one.name for one in session.get_outputs()] == ["label"]
    for batch in (1, 2, 5):
        frames, inside = inputs(batch)
        feed = {"frames": frames.numpy(), "inside": inside.numpy()}
        (found,) = session.run(None, {name: feed[name] for name in kinds})
        expected = wanted(checkpoint, frames, inside)
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)


def test_torch(checkpoint, tmp_path, capsys):
    out = tmp_path / "graphs/model.pt2"
    words = ["weights", "export", str(checkpoint), "--to", "torch", "--out", str(out)]
    assert cli.main(words) == 0
    assert f"written: {out}" in capsys.readouterr().out
    program = torch.export.load(out).module()
    for batch in (1, 2, 5):
        frames, inside = inputs(batch)
        with torch.no_grad():
            (found,) = program(*(frames, inside)[: 1 if checkpoint.name == "mean" else 2])
        expected = wanted(checkpoint, frames, inside)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert [p.name for p in out.parent.iterdir()] == ["model.pt2"]


def test_a_graph_that_came_out_wrong_is_not_kept(checkpoint, tmp_path, monkeypatch):
    def wrong(_, path, inputs):
        return [torch.zeros(len(inputs[0]), 4)]

    monkeypatch.setattr(TorchExport, "run", wrong)
    with pytest.raises(WeightsError, match=r"outputs differ by .*: nothing was written"):
        export_weights(checkpoint, tmp_path / "model.pt2", "torch")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TorchExport, "trace", full)
    with pytest.raises(WeightsError, match=r"model\.pt2: cannot be written: No space left"):
        export_weights(checkpoint, tmp_path / "model.pt2", "torch")
    assert {p.name for p in tmp_path.iterdir()} == {"weights.pth", checkpoint.name}


def test_what_is_not_installed_is_named(checkpoint, tmp_path, monkeypatch):
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if "onnx" in name else real(name))
    with pytest.raises(WeightsError, match=r"onnx, onnxscript not installed: pip install 'mofo"):
        export_weights(checkpoint, tmp_path / "model.onnx", "onnx")


def test_show(checkpoint, tmp_path, capsys):
    assert cli.main(["weights", "show", str(checkpoint)]) == 0
    text = capsys.readouterr().out
    for line in ("classifier (mofo)", "encoder 96 wide, 2 blocks", "4 frames of 32x32"):
        assert line in text
    assert f"fusion: {checkpoint.name}" in text
    assert "classes of 'label': 4: 0, 1, 2, 3" in text
    assert cli.main(["weights", "show", str(tmp_path / "weights.pth")]) == 0
    release = checkpoint.name == "cross_attention"
    assert f"classifier ({'MOFO release' if release else 'VideoMAE'})" in capsys.readouterr().out
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pth")
    assert cli.main(["weights", "show", str(tmp_path / "weights.pth")]) == 1
    assert "no patch_embed.proj.weight" in capsys.readouterr().err
