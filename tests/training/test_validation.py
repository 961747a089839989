import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from helpers.changes import changed
from helpers.coloured import rows_of, write_rows
from mofo.clips.view_clips import collate_views
from mofo.models.inference import Engine
from mofo.training.finetune_step import score
from mofo.training.finetune_task import FinetuneTask
from mofo.training.trainer import train
from mofo.training.validation import FILLING, Validation
from mofo.types import MofoError


@pytest.mark.parametrize("rows", [1, 5, 6, 13])
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 4, 20])
def test_every_row_once_and_as_many_batches_for_each_process(rows, processes, batch):
    validation = Validation([None] * rows, None, None, "single", batch, 0)
    orders = [
        validation.order(Engine(device=torch.device("cpu"), rank=rank, processes=processes))
        for rank in range(processes)
    ]
    assert len({len(order) for order in orders}) == 1
    assert all(keys for order in orders for keys in order)  # the model is run every time
    counted = [row for order in orders for keys in order if keys is not FILLING for row, _ in keys]
    assert sorted(counted) == list(range(rows))


@pytest.fixture
def model(plain_tuned):
    """An untrained model that tells clips apart."""
    built = FinetuneTask(plain_tuned).build().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return built


def found_by(settings, model):
    return FinetuneTask(settings).validate(model, Accelerator(cpu=True), bool)


def test_equal_to_a_hand_computation_for_any_batch(plain_tuned, model):
    task = FinetuneTask(plain_tuned)
    views = task._validation.dataset.__getitems__([(row, 0) for row in range(6)])
    batch = collate_views(views).clips
    with torch.no_grad():
        logits_BC = score(model, task._model, batch)[0]["label"]
    wanted_B = torch.tensor([0, 1, 2, 0, 1, 2])  # as the list is written, by name
    right = (logits_BC.argmax(1) == wanted_B).float().mean().item()
    loss = F.cross_entropy(logits_BC, wanted_B).item()
    assert 0 < loss < 20
    for micro in (1, 4, 6, 32):
        found = found_by(changed(plain_tuned, "run", micro_batch=micro), model)
        assert found["videos"] == 6
        assert found["loss"] == pytest.approx(loss, rel=1e-5)
        assert found["top1"] == pytest.approx(right)
        assert found["error"] == pytest.approx(1 - right)


def test_a_video_that_cannot_be_read_does_not_count(plain_tuned, model, coloured, tmp_path):
    rows = rows_of(coloured)
    good = [row for row in rows if row[2] == "validation"]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    table = write_rows(tmp_path / "held.csv", [*good, [str(broken), "red", "validation"]])
    all_good = changed(plain_tuned, "data", areas="dis")
    chosen = changed(all_good, "data", validation=(str(table),))
    for micro in (2, 7):
        found = found_by(changed(chosen, "run", micro_batch=micro), model)
        assert found == pytest.approx(found_by(all_good, model), rel=1e-5)


def test_nothing_readable_to_validate_on_loses_no_work(plain_tuned, tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.mp4").write_bytes(b"no video")
    rows = [[str(tmp_path / f"{number}.mp4"), "red", "validation"] for number in range(2)]
    table = write_rows(tmp_path / "held.csv", rows)
    chosen = changed(plain_tuned, "data", areas="dis", validation=(str(table),))
    with pytest.raises(MofoError, match="none of 2 videos to validate on"):
        train(chosen)
    assert (Path(chosen.run.out) / "checkpoints" / "step_00000004").is_dir()
    for number in range(2):  # mended: it goes on from there
        shutil.copy(_any_video(plain_tuned), rows[number][0])
    report = train(chosen)
    assert (report.finished, report.validation["videos"]) == (True, 2)


def _any_video(settings):
    return next(Path(settings.data.source[0]).parent.glob("red*.mp4"))
