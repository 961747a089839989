from __future__ import annotations

import re
import shutil
from itertools import pairwise

import numpy as np
import pytest

from helpers.lanes import slow_but
from helpers.made import NASTY, make_pretraining, read_page, write_lines
from mofo.cli import main
from mofo.datasets.check import check
from mofo.evaluation.embed import write_embedding
from mofo.evaluation.measures import Sample
from mofo.evaluation.recognition import recognise
from mofo.evaluation.results import Results, write_results
from mofo.report.page.build import report
from mofo.types import MofoError, SettingsError

SECTIONS = ("motion", "results", "training", "again")


def test_the_page_is_well_formed_and_needs_nothing_else(page):
    found = read_page(page)
    assert found.faults == []
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for _, a in found.tags if "href" in a]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    named = [a[key] for _, a in found.tags for key in ("src", "href", "poster") if key in a]
    assert all(name.startswith(("data:", "#")) for name in named)
    assert not re.search(r"url\(|@import|https?://", page.read_text())
    assert page.stat().st_size < 15_000_000


def test_it_can_be_heard_and_used_by_keyboard(page):
    found = read_page(page)
    assert all(image.get("alt") for image in found.all("img"))
    assert all(video.get("aria-label") for video in found.all("video"))
    assert all(drawing.get("aria-label") for drawing in found.all("svg")
               if drawing.get("aria-hidden") != "true")  # fmt: skip
    tables = [tag for tag, _ in found.tags if tag in ("table", "caption")]
    assert tables == ["table", "caption"] * (len(tables) // 2)
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert found.all("html")[0]["lang"] == "en"
    for region in found.all("div"):
        if region.get("class") == "scrolling":
            assert region["tabindex"] == "0"
            assert region["aria-label"]


def test_the_conclusion_comes_first_and_clips_before_settings(page):
    found = read_page(page)
    assert tuple(section["id"] for section in found.all("section")) == ("conclusion", *SECTIONS)
    assert "pretrain learned from 3 videos" in found.text
    assert "3 videos: that says nothing" in found.text.partition("Where things move")[0]
    names = [tag for tag, _ in found.tags]
    assert names.index("video") < names.index("table")


def test_names_are_text_whatever_they_hold(page):
    found = read_page(page)
    assert not found.all("img")  # all the pictures are clips: an image would be the name's
    assert len(found.all("script")) == 1
    assert f"clip0{NASTY}.mp4" in found.text
    assert "<script>alert(2)</script>" in found.text
    assert not any(name.startswith("on") for _, each in found.tags for name in each)


def test_what_it_shows(page, tree):
    found = read_page(page)
    clips = [video["aria-label"] for video in found.all("video")]
    assert sum("motion field" in clip for clip in clips) == 3
    assert sum("what the model is given" in clip for clip in clips) == 1
    assert "the guesses are left out: they are no better than a flat colour" in found.text
    assert sum(", answer" in clip for clip in clips) == 3
    assert "top-1 accuracy says nothing yet" in found.text  # three videos
    assert all(video["src"].startswith("data:video/mp4;base64,") for video in found.all("video"))
    assert "broken.mp4" in found.text
    assert "cut off" in found.text
    assert "mofo pretrain --config pretrain.yaml --run.out pretrain-again" in found.text
    assert "motion cross-attention" in found.text
    assert "mask.ratio 0.75 share of all positions" in found.text  # what the key means


def test_no_path_tells_where_it_was_made(page, tree):
    text = page.read_text()
    assert str(tree.parent) not in text
    assert str(tree) not in text
    assert not re.search(r"[\s'\"(]/(?:tmp|home|root|Users)/", text)


def results(names, scores, folder, areas="detected: store x"):
    """Results of tests of 40 videos; the higher the score, the more are right."""
    label_V = np.arange(40) % 4
    sample = Sample([f"v{k}" for k in range(40)], draws=50)
    rng = np.random.default_rng(0)
    for name, score in zip(names, scores, strict=True):
        score_VC = rng.random((40, 4)) + score * np.eye(4)[label_V]
        result = recognise(score_VC, label_V, list("abcd"), sample)
        about = {"areas": areas if name != "control" else "of another video, shuffled; x"}
        motion = "shuffled" if name == "control" else "store"
        write_results(
            Results({"label": result}, 1, about, motion=motion), folder / name / "results.json"
        )
    return [folder / name for name in names]


def test_conclusions_are_words_and_controls_are_never_the_best(tmp_path):
    folders = results(("bad", "good", "control"), (0.0, 0.5, 9.0), tmp_path)
    found = read_page(report(folders, tmp_path / "page.html", clips=0, note="to be sent").path)
    first = found.text.partition("How often the model is right")[2]
    conclusion = first.partition("How often")[0]
    assert "good reaches" in conclusion
    assert "clearly better than chance" in conclusion
    assert "better than bad by" in conclusion
    assert "to be sent" in found.text
    assert "control reaches" not in found.text
    assert "control, top-1 accuracy (control)" in found.text
    assert "--areas shuffled --out control" in found.text
    same = results(("one", "two"), (0.3, 0.3), tmp_path)
    text = read_page(report(same, tmp_path / "page.html", clips=0).path).text
    assert "No clear difference in top-1 accuracy between one and two" in text


def test_losses_of_other_masks_are_not_compared(tree, tmp_path):
    for name, strategy in (("one", "motion"), ("two", "tube")):
        masks = {"ratio": 0.75, "strategy": strategy}
        make_pretraining(tmp_path / name, tree / "videos", mask=masks)
    page = report([tmp_path / "one", tmp_path / "two"], tmp_path / "page.html", clips=0).path
    text = read_page(page).text
    assert "not to be compared" in text
    assert "lower loss" not in text


def test_the_command_names_the_videos_where_they_are_few(tree, tmp_path):
    text = read_page(report(tree / "areas", tmp_path / "page.html", clips=0).path).text
    command = text.partition("mofo detect ")[2].partition(" --out areas")[0]
    assert all(f"clip{seed}" in command for seed in range(3))
    assert "broken.mp4" not in command  # it has no areas


def test_several_runs_stand_side_by_side(tree, tmp_path):
    for name, size in (("one", "nano"), ("two", "tiny")):
        make_pretraining(tmp_path / name, tree / "videos", model={"size": size})
    results(("bad", "good"), (0.0, 9.0), tmp_path)
    folders = [tmp_path / name for name in ("one", "two", "bad", "good")]
    found = read_page(report(folders, tmp_path / "page.html", clips=0).path)
    assert not found.all("video")
    assert "Pre-training: what differs" in found.text
    assert "model.size nano tiny" in found.text
    assert "bad good top-1 accuracy" in found.text
    assert "better" in found.text
    assert "lower is better" in found.text
    assert "program version" in found.text  # nothing differs: one column


def broken_metrics(folder):
    file = folder / "pretrain" / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-20] + b'\n{"step": 29, "loss": "x\xc3')


def not_numbers(folder):
    lines = [{"step": k, "loss": float("nan"), "lr": None} for k in range(3)]
    write_lines(folder / "pretrain" / "metrics.jsonl", lines)


def no_results(folder):
    (folder / "evaluation" / "results.json").write_text('{"heads": {"label": {"count"')


def no_settings(folder):
    (folder / "pretrain" / "settings.yaml").unlink()


def strange_settings(folder):
    (folder / "pretrain" / "settings.yaml").write_text(
        "mask: {ratio: much, strategy: motion}\ndata: {source: 3, size: x}\noptim: {epochs: many}\n"
        "model: {size: [1]}\nrun: 7\n"
    )


def damaged_settings(folder):
    (folder / "pretrain" / "settings.yaml").write_bytes(b"\xff\xfe{: [")


def damaged_checkpoint(folder):
    [file] = (folder / "pretrain").glob("checkpoints/*/checkpoint.json")
    file.write_text('{"step": ')


def damaged_weights(folder):
    for file in folder.glob("*/checkpoints/*/model.safetensors"):
        file.write_bytes(b"\0" * 30)


def damaged_store(folder):
    for file in (folder / "areas").glob("*/*.parquet"):
        file.write_bytes(file.read_bytes()[:100])


def no_videos(folder):
    for file in (folder / "videos").glob("*.mp4"):
        file.unlink()


@pytest.mark.parametrize(
    "damage",
    slow_but(
        (broken_metrics, damaged_weights, damaged_store),
        [
            broken_metrics, not_numbers, no_results, no_settings, strange_settings,
            damaged_settings, damaged_checkpoint, damaged_weights, damaged_store, no_videos,
        ],
    ),
)  # fmt: skip
def test_what_is_broken_leaves_the_rest(damage, tree, tmp_path):
    folder = shutil.copytree(tree, tmp_path / "tree")
    # The sources that runs and results name lie in the first tree; these are to be the own ones.
    for file in (*folder.glob("*/settings.yaml"), *folder.glob("*/results.json")):
        file.write_text(file.read_text().replace(str(tree), str(folder)))
    damage(folder)
    made = report(folder, tmp_path / "page.html", clips=2)
    found = read_page(made.path)
    assert found.faults == []
    assert {"training", "again"} <= set(made.sections)
    told = {no_results: "results.json", no_settings: "settings.yaml", damaged_store: "areas",
            damaged_settings: "settings.yaml", damaged_checkpoint: "checkpoint.json",
            damaged_weights: "model.safetensors"}  # fmt: skip
    if damage in told:
        assert made.problems
        for problem in made.problems:
            assert told[damage] in problem
        assert told[damage] in found.text
    else:
        assert made.problems == ()
    assert ("results" in made.sections) == (damage is not no_results)
    assert ("motion" in made.sections) == (damage is not damaged_store)


def test_the_picture_of_the_run_stands_in_for_its_clips(tree, tmp_path):
    from mofo.report.figures.layout import save_png

    folder = make_pretraining(tmp_path / "run", tree / "videos")
    shutil.rmtree(folder / "checkpoints")
    save_png(np.full((64, 96, 3), 200, np.uint8), folder / "pictures" / "step_00000010.png")
    found = read_page(report(folder, tmp_path / "page.html").path)
    [image] = found.all("img")
    assert "what the model sees" in image["alt"]
    assert "picture made during the run" in found.text


@pytest.mark.parametrize("words", [["none"], ["empty"], ["empty", "none"]])
def test_nothing_known_is_told_in_one_line(words, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    folders = [str(tmp_path / word) for word in words]
    assert main(["report", *folders, "--out", str(tmp_path / "page.html")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert folders[-1] in told
    assert not (tmp_path / "page.html").exists()


def test_a_folder_without_anything_beside_one_that_has(tree, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "new" / "page.html"
    words = [str(tree / "finetune"), str(tmp_path / "empty"), "--out", str(out), "--quiet"]
    assert main(["report", *words, "--clips", "0", "--title", "A <b> & c"]) == 0
    told = capsys.readouterr()
    assert "empty: holds nothing that mofo has made" in told.err
    assert str(out) in told.out
    assert "A <b> & c" in read_page(out).text


def test_impossible_wishes(tree, tmp_path):
    with pytest.raises(SettingsError, match="clips is 25"):
        report(tree, tmp_path / "page.html", clips=25)
    with pytest.raises(SettingsError, match="name one folder"):
        report([], tmp_path / "page.html")
    with pytest.raises(MofoError, match="is a folder"):
        report(tree / "finetune", tmp_path, clips=0)


def test_the_package_is_the_function(tree, tmp_path):
    import mofo.report
    import mofo.report.figures.overlays  # the package stays what it is

    made = mofo.report(tree / "evaluation", tmp_path / "page.html", clips=0)
    assert made.sections == ("results", "again")
    assert mofo.report.figures.overlays.draw_area


def test_every_folder_that_mofo_makes_is_taken(tree, tmp_path):
    check([tree / "videos"], tmp_path / "check", workers=0, progress=False)
    write_embedding(
        tree / "pretrain", [tree / "videos" / "list.csv"], tmp_path / "one.parquet", workers=0
    )
    write_embedding(
        tree / "pretrain", [tree / "videos" / "list.csv"], tmp_path / "features", workers=0
    )
    (tmp_path / "exported").mkdir()  # as `mofo weights export` writes it
    (tmp_path / "exported/config.json").write_text('{"architectures": ["VideoMAEModel"]}')
    (tmp_path / "exported/model.safetensors").touch()
    text = read_page(report(tmp_path, tmp_path / "page.html", clips=0).path).text
    assert "check of a data set" in text
    assert "VideoMAEModel" in text
    assert "broken.mp4" in text
    assert text.count("holds: 3 rows, layer") == 2


def test_parts_of_a_store_are_no_features_and_masks_are_told(tree, tmp_path):
    folder = make_pretraining(tmp_path / "run", tree / "videos")
    lines = [{"step": k, "loss": 1.0, "visible_inside_ratio": 0.25, "spill": 0.5} for k in range(9)]
    write_lines(folder / "metrics.jsonl", lines)
    shutil.copytree(tree / "areas", tmp_path / "areas")
    text = read_page(report(tmp_path, tmp_path / "page.html", clips=0).path).text
    assert "holds: " not in text
    assert "of what the encoder sees: moving 25.0 %" in text
    assert "could not be as asked 50.0 %" in text
