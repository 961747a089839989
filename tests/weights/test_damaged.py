"""Files that are no weights, damaged, or more than data: one line each, and nothing is run."""

import argparse
import collections
import json
import os
import pickle
import random
import shutil

import pytest
import torch
from safetensors.torch import save_file

from fuzz.mutate import bytes_changed
from helpers import official
from mofo import cli
from mofo.training.checkpoint import CheckpointError
from mofo.types import MofoError
from mofo.weights.class_names import read_class_names
from mofo.weights.importing import import_weights
from mofo.weights.loading import WeightsError
from mofo.weights.tensor_files import open_weights

SHAPES = official.finetuned_shapes(64, 1, 2)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def said(path, **options) -> str:
    with pytest.raises(WeightsError) as error:
        import_weights(path, path.parent / "out", made_for=(4, 32), **options)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    assert not (path.parent / "out").exists()
    assert not list(path.parent.glob(".out*"))
    return text


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, zipped):
    trapped = tmp_path / "trapped"
    path = tmp_path / "weights.pth"
    state = official.drawn(SHAPES) | {"trap": Trap(trapped)}
    torch.save({"model": state}, path, _use_new_zipfile_serialization=zipped)
    text = said(path)
    assert "refused, because it holds more than data" in text
    assert "mkdir" in text
    assert not trapped.exists()
    # It is a real one.
    torch.load(path, weights_only=False)
    assert trapped.is_dir()
    trapped.rmdir()
    path.write_bytes(pickle.dumps(Trap(trapped)))
    assert "weights.pth: " in said(path)
    assert not trapped.exists()


def test_a_namespace_with_code_inside_is_refused_too(tmp_path):
    trapped, path = tmp_path / "trapped", tmp_path / "weights.pth"
    args = argparse.Namespace(num_frames=Trap(trapped))
    torch.save({"model": official.drawn(SHAPES), "args": args}, path)
    assert "refused" in said(path)
    assert not trapped.exists()
    torch.save({"model": official.drawn(SHAPES), "c": collections.Counter("a"), "p": said}, path)
    assert "said" in said(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_cut_short(tmp_path, share, suffix):
    path = tmp_path / f"weights{suffix}"
    state = official.drawn(SHAPES)
    if suffix == ".pth":
        torch.save({"model": state}, path)
    else:
        save_file(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    text = said(path)
    assert "cannot be read" in text or "is no file of torch" in text or "damaged" in text


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
def test_any_damage_is_one_line(tmp_path, zipped):
    """Torch raises whatever comes: struct.error, IndexError, AssertionError ..."""
    path, draw = tmp_path / "weights.pth", random.Random(1)
    torch.save({"model": {"x": torch.ones(3)}}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for _ in range(150):
        path.write_bytes(bytes_changed(whole, draw))
        try:
            open_weights(path)
        except WeightsError as error:
            assert "\n" not in str(error)  # noqa: PT017 - not all damage is seen


def test_other_files(tmp_path):
    gone = tmp_path / "gone.pth"
    assert "there is no such file" in said(gone)
    path = tmp_path / "weights.pth"
    for content in (b"hello", b"", b"PK\x03\x04", bytes(range(256)) * 9, b"\x80\x02."):
        path.write_bytes(content)
        assert "weights_only" not in said(path)  # torch's advice to run what is in a file
    for content in ([1, 2], {"epoch": 3}, torch.zeros(2), {"model": {"a": 1}}):
        torch.save(content, path)
        assert "no tensors" in said(path)
    torch.save({"videomae.embeddings.patch_embeddings.projection.weight": torch.zeros(1)}, path)
    assert "give their folder" in said(path)
    torch.save({"encoder.embeddings.patch_embeddings.proj.weight": torch.zeros(1)}, path)
    assert "hf:PATH" in said(path)


def test_shapes_and_numbers_that_make_no_sense(tmp_path):
    path, state = tmp_path / "weights.pth", official.drawn(SHAPES)
    for change, wanted in (
        ({"head.weight": torch.tensor(1.0)}, r"head.weight is (), no matrix"),
        ({"blocks.0.mlp.fc1.weight": torch.zeros(3)}, "no matrix"),
        ({"patch_embed.proj.weight": torch.zeros(64, 3)}, "of five axes"),
        ({"patch_embed.proj.weight": torch.zeros(64, 1, 2, 16, 16)}, "with 1 colours"),
        ({"blocks.999999999999.norm1.weight": torch.zeros(64)}, "unexpected: blocks.99999"),
        ({"pos_embed": torch.zeros(3)}, "is for 0 tokens"),
        ({"head.weight": torch.zeros(1, 64)}, "has 1 classes: 2 is the least"),
        ({"module.head.weight": torch.zeros(2, 64)}, "two models in one"),
    ):
        torch.save({"model": state | change}, path)
        assert wanted in said(path)


def test_folders(tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    assert "has no config.json" in said(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="is no JSON"):
        open_weights(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match="holds no settings"):
        open_weights(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "has neither" in said(folder)
    name = "embeddings.patch_embeddings.projection.weight"
    save_file({name: torch.zeros(64, 3, 2, 16, 16)}, folder / "model.safetensors")
    assert "is of a model 'bert'" in said(folder)


def test_a_shard_index_leads_to_no_other_folder(tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    index = {"weight_map": {"a": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="cannot be read"):
        open_weights(folder)
    shutil.copy(tmp_path / "other.safetensors", folder)
    assert set(open_weights(folder).tensors) == {"a"}


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    torch.save({"model": official.drawn(SHAPES)}, path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mofo.training.checkpoint.save_file", full)
    with pytest.raises(CheckpointError, match=r"out: cannot be written: No space left on device"):
        import_weights(path, tmp_path / "out", made_for=(4, 32))
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pth"]
    monkeypatch.undo()
    import_weights(path, tmp_path / "out", made_for=(4, 32))
    with pytest.raises(CheckpointError, match="is there already"):
        import_weights(path, tmp_path / "out", made_for=(4, 32))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "push\npull it\n\ndrop\n"),
        ("b.json", '["push", "pull it", "drop"]'),
        ("c.json", '{"pull it": "1", "push": "0", "drop": "2"}'),
        ("d.json", '{"0": "push", "2": "drop", "1": "pull it"}'),
        ("e.csv", "id,name\n1,pull it\n0,push\n2,drop\n"),
        ("f.csv", "id,key,instances\n0,push,x\n1,pull it,y\n2,drop,z\n"),
        ("g.csv", "name\npush\npull it\ndrop\n"),
    ],
)
def test_lists_of_classes(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_class_names(tmp_path / name) == ["push", "pull it", "drop"]


def test_lists_of_classes_that_do_not_fit(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"model": official.drawn(SHAPES)}, path)
    for name, text, wanted in (
        ("a.txt", "one\ntwo\nthree", "names 3 classes, but the weights have 2"),
        ("a.json", '{"one": 1, "two": 2}', "not numbered from 0 to 1"),
        ("b.json", "7", "neither a list nor an object"),
        ("b.txt", "one\none", "names a class twice"),
        ("c.txt", "", "no names"),
        ("d.csv", "a,b\n1,2", "columns id and name"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(MofoError, match=wanted):
            import_weights(path, tmp_path / "out", made_for=(4, 32), classes=tmp_path / name)


def test_the_command_says_it_in_one_line_and_writes_the_report(tmp_path, capsys):
    state = official.drawn(SHAPES)
    state["blocks.0.attn.k_bias"] = state.pop("blocks.0.attn.q_bias")
    path, report = tmp_path / "weights.pth", tmp_path / "report.json"
    torch.save({"model": state}, path)
    words = ["weights", "import", str(path), "--made-for", "4x32", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--report", str(report)]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("mofo weights import: ")
    assert "missing: encoder.blocks.0.attn.q_bias; unexpected: blocks.0.attn.k_bias" in error[-1]
    assert "    1  missing" in error
    assert json.loads(report.read_text())["summary"]["unexpected"] == 1
    assert cli.main([*words[:-3], "16", *words[-2:]]) == 2
    allowed = ["--allow-missing", "*.q_bias", "--allow-unexpected", "*.k_bias"]
    assert cli.main([*words, *allowed]) == 0
    assert f"classifier (VideoMAE): {tmp_path / 'out'}" in capsys.readouterr().out
