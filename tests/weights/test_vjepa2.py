"""V-JEPA 2: its own files and whole classifiers of transformers come in, with the same outputs."""

import json

import pytest
import torch
import transformers

from helpers.hf_models import MEAN, MODELS, STD, save
from helpers.probed import write_labelled
from mofo import cli
from mofo.training.frozen import open_encoder
from mofo.training.saved_models import open_classifier
from mofo.weights.importing import import_weights, inspect_weights
from mofo.weights.loading import WeightsError


def clips(count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 4, 32, 32, 3), dtype=torch.uint8, generator=generator)


def pixels(frames, mean, std):
    return ((frames / 255 - torch.tensor(mean)) / torch.tensor(std)).movedim(-1, 2)


@pytest.fixture
def classifier(tmp_path):
    """A small classifier in transformers' folder, and the model."""
    options = MODELS["vjepa2"] | {"num_pooler_layers": 2, "num_labels": 3, "mlp_ratio": 2.5}
    torch.manual_seed(0)
    model = transformers.VJEPA2ForVideoClassification(transformers.VJEPA2Config(**options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    model.config.id2label = {0: "class 0", 1: "class 1", 2: "other"}
    folder = tmp_path / "classifier"
    model.save_pretrained(folder)
    content = {"image_mean": MEAN, "image_std": STD, "do_rescale": True}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(content))
    return folder, model


def test_a_whole_classifier_gives_the_same_logits(classifier, tmp_path):
    folder, model = classifier
    report = import_weights(folder, tmp_path / "run")
    assert report.classes == {"label": ["class 0", "class 1", "other"]}
    saved = open_classifier(tmp_path / "run")
    with torch.no_grad():
        wanted = model(pixels(clips(), MEAN, STD)).logits
        logits, weight_B1QN = saved.model(clips(), return_attention=True)
    assert wanted.std() > 0.01
    torch.testing.assert_close(logits["label"], wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weight_B1QN.sum(3), torch.ones(weight_B1QN.shape[:3]))


def test_a_whole_classifier_by_the_command_line(classifier, tmp_path, capsys):
    folder, _ = classifier
    table = write_labelled(tmp_path / "videos", "colour", 4, 2)
    run = tmp_path / "run"
    quick = ("--views", "1x1", "--quiet", "--workers", "0")
    assert cli.main(["weights", "import", str(folder), "--out", str(run)]) == 0
    assert cli.main(["evaluate", "--encoder", str(run), str(table), *quick]) == 0
    video = str(table.parent / "v4.mp4")
    assert cli.main(["predict", "--encoder", str(run), video, "--views", "1x1"]) == 0
    picture = tmp_path / "x.png"
    assert cli.main(["show", "attention", "--encoder", str(run), video, "--out", str(picture)]) == 0
    assert picture.stat().st_size > 1000


def own_names(model):
    """State of transformers' encoder by the names of V-JEPA 2's programs."""
    state = {}
    for name, tensor in model.encoder.state_dict().items():
        name = name.replace("embeddings.patch_embeddings", "patch_embed").replace(
            "layernorm.", "norm."
        )
        name = name.replace("layer.", "blocks.").replace(".attention.", ".attn.")
        state[f"module.backbone.{name}"] = tensor
    for name in [name for name in state if ".query." in name]:
        parts = [state.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        state[name.replace("query", "qkv")] = torch.cat(parts)
    return state


def test_files_of_its_own_programs(tmp_path, capsys):
    model = save(tmp_path / "hf", "vjepa2")
    state = own_names(model)
    content = {"encoder": state, "target_encoder": state, "predictor": {"x": torch.ones(1)}}
    torch.save(content, tmp_path / "vitl.pt")
    report = import_weights(tmp_path / "vitl.pt", tmp_path / "run", made_for=(4, 32), heads=2)
    assert report.kind == "pretrain"
    encoder = open_encoder(tmp_path / "run")
    imagenet = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    with torch.no_grad():
        wanted = model(pixels(clips(), *imagenet), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(encoder(clips()), wanted, rtol=1e-5, atol=1e-5)
    assert inspect_weights(tmp_path / "run").model.grid.frames == 4
    # A relative with more in it is refused by the names of what is not known.
    state["module.backbone.norms_block.0.weight"] = torch.ones(48)
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="norms_block"):
        import_weights(tmp_path / "other.pt", tmp_path / "x", made_for=(4, 32), heads=2)
    assert not (tmp_path / "x").exists()
