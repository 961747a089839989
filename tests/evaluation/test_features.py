import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from helpers.classifiers import write_classifier
from helpers.probed import FRAMES, PATCH, SIZE, recipe, write_labelled, write_pretrained
from helpers.ranks import ranks
from mofo.clips.token_area import token_area
from mofo.clips.view_clips import ViewDataset, ViewSettings, collate_views
from mofo.datasets.catalog import read_catalog
from mofo.evaluation import features as module
from mofo.evaluation.feature_settings import FeatureSettings, Work
from mofo.evaluation.features import extract
from mofo.evaluation.pools import POOLS, area_coordinates
from mofo.motion.detect import detect_many
from mofo.motion.presets import DetectSettings
from mofo.training.checkpoint import CheckpointError, write_checkpoint
from mofo.training.frozen import FrozenEncoder, open_encoder, random_encoder
from mofo.training.saved_models import open_autoencoder, open_classifier
from mofo.types import MofoError, SettingsError, TokenGrid

GRID = TokenGrid(FRAMES, SIZE, SIZE, patch=PATCH)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Seven videos."""
    return write_labelled(tmp_path_factory.mktemp("featured") / "videos", "moving", 5, 2)


@pytest.fixture(scope="module")
def videos(table):
    return read_catalog([table]).videos


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_pretrained(tmp_path_factory.mktemp("pretrained") / "one")


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return open_encoder(checkpoint)


def got(encoder, videos, cache, *, work=None, grid=None, **settings):
    work = Work(workers=0, **(work or {}))
    return extract(encoder, videos, FeatureSettings(**settings), cache=cache, work=work, grid=grid)


@pytest.fixture
def asked(monkeypatch):
    """Counts the clips that are really computed."""
    counts = []
    real = module._Extractor.__call__

    def features(self, batch):
        counts.append(len(batch))
        return real(self, batch)

    monkeypatch.setattr(module._Extractor, "__call__", features)
    return counts


def clips_of(videos, areas="dis", number=0, several=1, grid=GRID, **options):
    settings = ViewSettings(
        **(
            {"grid": grid, "stride": 1, "temporal": several, "spatial": 1, "motion": areas}
            | options
        )
    )
    dataset = ViewDataset(videos, settings)
    return collate_views([dataset[row, number] for row in range(len(videos))]).clips


@torch.no_grad()
def test_the_last_layer_is_what_the_decoder_would_get(checkpoint, encoder, videos, tmp_path):
    model, _ = open_autoencoder(checkpoint)
    tokens_BND = model.encoder(clips_of(videos).frames_BTHWC)
    found = got(encoder, videos, tmp_path)
    assert [video.key for video in found.videos] == [video.key for video in videos]
    np.testing.assert_allclose(found.all(), tokens_BND.mean(1), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("layer", "blocks"), [(0, 0), (1, 1), (-2, 1), (-3, 0)])
def test_other_layers_are_normalised_without_gains(encoder, videos, tmp_path, layer, blocks):
    inner = encoder.encoder
    x_BND = inner.embed(clips_of(videos).frames_BTHWC) + inner.positions()
    for block in list(inner.blocks)[:blocks]:
        x_BND = block(x_BND)
    expected_BND = F.layer_norm(x_BND, (64,), eps=1e-6)
    found = got(encoder, videos, tmp_path, layer=layer).all()
    np.testing.assert_allclose(found, expected_BND.mean(1), atol=1e-5)


@torch.no_grad()
def test_a_fine_tuned_encoder_has_no_norm_of_its_own(videos, tmp_path):
    run = write_classifier(tmp_path / "run", areas="none", sampling="segments", area_span="tubelet")
    encoder, saved = open_encoder(run), open_classifier(run)
    assert (encoder.sampling.sampling, encoder.area_span) == ("segments", "tubelet")
    clips = clips_of(videos, "none", grid=TokenGrid(FRAMES, SIZE, SIZE), sampling="segments")
    tokens_BND = F.layer_norm(saved.model.encoder(clips.frames_BTHWC), (64,), eps=1e-6)
    found = got(encoder, videos, tmp_path / "cache").all()
    np.testing.assert_allclose(found, tokens_BND.mean(1), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["inside", "both", "tokens"])
def test_pooling_by_the_motion_area(encoder, videos, tmp_path, pool):
    clips = clips_of(videos)
    inside_BN = token_area(clips.box_BT4, clips.valid_BT, GRID).flatten(1)
    assert 0 < inside_BN.float().mean() < 1
    tokens_BND = encoder(clips.frames_BTHWC)
    found = got(encoder, videos, tmp_path, pool=pool, areas="dis")
    if pool == "tokens":
        np.testing.assert_allclose(found.all(), tokens_BND, atol=4e-3)  # half precision
        np.testing.assert_array_equal(found.take(range(7))[1], inside_BN)
        np.testing.assert_array_equal(found.take([6, 2])[0], found.all()[[6, 2]])
        return
    for b, (token_ND, inside_N) in enumerate(zip(tokens_BND, inside_BN, strict=True)):
        some = [inside_N] if pool == "inside" else [inside_N, ~inside_N]
        parts = [token_ND[each if each.any() else each | True].mean(0) for each in some]
        np.testing.assert_allclose(found.all()[b], torch.cat(parts), atol=1e-5)


def test_where_nothing_is_inside_or_outside_all_tokens_count():
    tokens_BND = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    inside_BN = torch.tensor([[False] * 6, [True] * 6])
    both_BD = POOLS["both"](GRID, 3, GRID.tokens)(tokens_BND, inside_BN, None)
    torch.testing.assert_close(both_BD, tokens_BND.mean(1).repeat(1, 2))


@torch.no_grad()
def test_several_clips_are_averaged(encoder, videos, tmp_path):
    each = [encoder(clips_of(videos, "none", k, 3).frames_BTHWC).mean(1) for k in range(3)]
    assert not torch.allclose(each[0], each[2], atol=1e-3)
    found = got(encoder, videos, tmp_path, clips=3).all()
    np.testing.assert_allclose(found, torch.stack(each).mean(0), atol=1e-5)


def test_areas_as_features(videos, tmp_path):
    found = got(None, videos, tmp_path, pool="boxes", areas="dis", stride=1, grid=GRID)
    clips = clips_of(videos)
    for row, box_T4, valid_T in zip(found.all(), clips.box_BT4, clips.valid_BT, strict=True):
        expected = area_coordinates(box_T4.numpy(), valid_T.numpy(), SIZE, SIZE)
        np.testing.assert_array_equal(row, expected)


def test_neither_batch_nor_workers_nor_parts_show(encoder, videos, tmp_path, monkeypatch):
    whole = got(encoder, videos, tmp_path / "one", clips=2).all()
    for batch in (1, 3):
        found = got(encoder, videos, tmp_path / f"{batch}", clips=2, work={"batch": batch})
        np.testing.assert_allclose(found.all(), whole, atol=1e-5)
    workers = Work(workers=2, batch=2)
    found = extract(encoder, videos, FeatureSettings(clips=2), cache=tmp_path / "w", work=workers)
    np.testing.assert_allclose(found.all(), whole, atol=1e-5)
    monkeypatch.setattr("mofo.evaluation.feature_cache._MOST_ROWS", 2)
    monkeypatch.setattr("mofo.evaluation.feature_cache._MOST_OPEN", 2)
    found = got(encoder, videos, tmp_path / "parts", clips=2)
    assert found.cache.parts == 4
    np.testing.assert_allclose(found.all(), whole, atol=1e-5)
    np.testing.assert_allclose(found.take([6, 0, 3])[0], whole[[6, 0, 3]], atol=1e-5)


def test_what_is_cached_is_not_computed_again(encoder, videos, tmp_path, asked):
    first = got(encoder, videos, tmp_path).all()
    assert sum(asked) == 7
    np.testing.assert_array_equal(got(encoder, videos, tmp_path).all(), first)
    relabelled = [replace(video, labels=(), split=None, group="g") for video in videos]
    again = got(encoder, relabelled, tmp_path, work={"batch": 2})
    assert again.videos == tuple(relabelled)
    # Areas do not matter to the mean over all tokens.
    got(encoder, videos, tmp_path, areas="dis")
    assert sum(asked) == 7


def test_an_interrupted_run_goes_on(encoder, videos, tmp_path, asked, monkeypatch):
    expected = got(encoder, videos, tmp_path / "whole").all()
    monkeypatch.setattr("mofo.evaluation.feature_cache._MOST_ROWS", 2)
    counting = module._Extractor.__call__
    asked.clear()

    def stops(self, batch):
        if sum(asked) >= 5:
            raise KeyboardInterrupt
        return counting(self, batch)

    monkeypatch.setattr(module._Extractor, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        got(encoder, videos, tmp_path / "c", work={"batch": 1})
    monkeypatch.setattr(module._Extractor, "__call__", counting)
    asked.clear()
    found = got(encoder, videos, tmp_path / "c", work={"batch": 1})
    assert sum(asked) == 3  # two parts of two were whole
    np.testing.assert_allclose(found.all(), expected, atol=1e-5)


@pytest.mark.parametrize("damage", ["cut", "garbage", "gone"])
def test_a_damaged_part_is_made_again(encoder, videos, tmp_path, asked, damage):
    found = got(encoder, videos, tmp_path)
    expected, part = found.all(), found.cache._file(0)
    content = part.read_bytes()
    part.unlink()
    if damage != "gone":
        part.write_bytes(content[:-10] if damage == "cut" else b"x" * 100)
    asked.clear()
    np.testing.assert_array_equal(got(encoder, videos, tmp_path).all(), expected)
    assert sum(asked) == 7


def test_whatever_changes_features_changes_the_key(encoder, table, tmp_path, asked):
    folder = tmp_path / "videos"
    shutil.copytree(table.parent, folder)
    videos = read_catalog([folder / "list.csv"]).videos
    store = tmp_path / "areas"
    detect_many([str(folder)], str(store), workers=0, progress=False)
    other = open_encoder(write_pretrained(tmp_path / "other", seed=1))
    base = {"pool": "both", "areas": "dis"}
    keys = [
        got(which, some, tmp_path / "cache", **(base | change)).cache.key
        for which, some, change in (
            (encoder, videos, {}),
            (other, videos, {}),
            (encoder, videos, {"layer": 1}),
            (encoder, videos, {"pool": "inside"}),
            (encoder, videos, {"pool": "tokens"}),
            (encoder, videos, {"areas": str(store)}),
            (encoder, videos, {"clips": 2}),
            (encoder, videos, {"sampling": "segments"}),
            (encoder, videos, {"stride": 2}),
            (encoder, videos[:6], {}),
            (encoder, videos[::-1], {}),
            (encoder, [replace(videos[0], start=0.1), *videos[1:]], {}),
        )
    ]
    before = got(encoder, videos, tmp_path / "cache", **base).all()
    assert len(set(keys)) == len(keys)
    # The same name, another content.
    shutil.copy(folder / "v1.mp4", folder / "v0.mp4")
    asked.clear()
    after = got(encoder, videos, tmp_path / "cache", **base)
    assert sum(asked) == 7
    assert after.cache.key not in keys
    np.testing.assert_allclose(after.all()[0], before[1], atol=1e-6)
    np.testing.assert_array_equal(after.all()[1:], before[1:])


def test_another_store_another_key(encoder, table, videos, tmp_path):
    store, keys = tmp_path / "areas", []
    for flow in ("dis", "farneback"):
        settings = DetectSettings(flow=flow)
        detect_many([str(table)], str(store), settings=settings, workers=0, progress=False)
        found = got(encoder, videos, tmp_path / "cache", pool="inside", areas=str(store))
        keys.append(found.cache.key)
        shutil.rmtree(store)
    assert keys[0] != keys[1]


def test_the_cache_says_what_it_holds(encoder, videos, tmp_path):
    found = got(encoder, videos, tmp_path, layer=-2)
    about = json.loads((found.cache.folder / "about.json").read_text())
    assert about["layer"] == 1
    assert about["weights"] == encoder.digest
    assert about.items() >= found.about.items()


def test_videos_that_cannot_be_read_are_left_out(encoder, table, tmp_path, asked):
    folder = tmp_path / "videos"
    shutil.copytree(table.parent, folder)
    for name in ("v0.mp4", "v3.mp4"):
        (folder / name).write_bytes(b"no video")
    videos = read_catalog([folder / "list.csv"]).videos
    for _ in range(2):
        found = got(encoder, videos, tmp_path / "cache", clips=2)
        assert [video.key for video in found.videos] == [f"v{n}.mp4" for n in (1, 2, 4, 5, 6)]
        assert [Path(path).name for path, _ in found.failures] == ["v0.mp4", "v3.mp4"]
        assert all(reason for _, reason in found.failures)
    assert sum(asked) == 10
    whole = read_catalog([table]).videos
    expected = got(encoder, whole, tmp_path / "cache", clips=2).all()
    np.testing.assert_allclose(found.all(), expected[[1, 2, 4, 5, 6]], atol=1e-5)
    # Mended, it is looked at again.
    shutil.copy(table.parent / "v0.mp4", folder / "v0.mp4")
    assert len(got(encoder, videos, tmp_path / "cache", clips=2)) == 6


def test_random_weights(checkpoint, tmp_path):
    path = tmp_path / "recipe.yaml"
    clip, model = {"frames": FRAMES, "size": SIZE}, recipe()["model"]
    path.write_text(yaml.safe_dump({"data": clip | {"stride": 3}, "model": model}))
    first = random_encoder(path)
    assert first.settings.grid == GRID
    assert (first.settings.width, first.sampling.stride) == (64, 3)
    assert first.digest == random_encoder(path).digest == random_encoder(checkpoint).digest
    assert first.digest != random_encoder(path, seed=1).digest
    path.write_text(yaml.safe_dump({"data": clip, "model": model | {"fusion": "mean"}}))
    tuned = random_encoder(path)
    assert (tuned.settings.grid, tuned.sampling.sampling) == (GRID, "segments")
    path.write_text("model: {sise: nano}")
    with pytest.raises(SettingsError, match=r"model\.sise.*did you mean model\.size"):
        random_encoder(path)
    with pytest.raises(SettingsError, match="no such recipe"):
        random_encoder(tmp_path / "nothing.yaml")


def test_nothing_in_a_frozen_encoder_learns_or_is_random(encoder):
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    frames = torch.randint(0, 256, (2, FRAMES, SIZE, SIZE, 3), dtype=torch.uint8)
    tokens = encoder(frames)
    assert not tokens.requires_grad
    assert torch.equal(tokens, encoder(frames))
    tuned = FrozenEncoder(replace(encoder.settings, drop_path=0.9), name="x")
    assert torch.equal(tuned(frames), tuned(frames))


def test_mistakes_are_one_line(encoder, videos, tmp_path):
    with pytest.raises(SettingsError, match=r"pool 'meen' is unknown.*did you mean 'mean'"):
        FeatureSettings(pool="meen")
    with pytest.raises(SettingsError, match="pool inside needs motion areas"):
        FeatureSettings(pool="inside", areas="none")
    with pytest.raises(SettingsError, match="tokens of 2 clips have no average"):
        FeatureSettings(pool="tokens", clips=2)
    with pytest.raises(SettingsError, match=r"layer 3: .* has 2 blocks"):
        got(encoder, videos, tmp_path, layer=3)
    with pytest.raises(SettingsError, match="batch 0"):
        Work(batch=0)
    with pytest.raises(MofoError, match="not a store"):
        got(encoder, videos, tmp_path, pool="inside", areas=str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be a folder of features"):
        got(encoder, videos, tmp_path / "file")
    strange = write_checkpoint(tmp_path / "strange", {}, {"task": "flow"})
    with pytest.raises(CheckpointError, match="'flow', which has no encoder"):
        open_encoder(strange)


def test_two_processes_give_the_same(encoder, videos, tmp_path, monkeypatch):
    monkeypatch.setattr("mofo.evaluation.feature_cache._MOST_ROWS", 2)

    def extracted(rank):
        found = got(encoder, videos, tmp_path / "two", pool="both", areas="dis")
        assert found.all().shape == (7, 128)

    codes, ended = ranks(2, extracted)
    assert codes == [0, 0], ended.err
    one = got(encoder, videos, tmp_path / "one", pool="both", areas="dis")
    # The key is the same, so this only reads what the two have left.
    two = got(encoder, videos, tmp_path / "two", pool="both", areas="dis")
    assert one.cache.key == two.cache.key
    written = {file.stat().st_mtime_ns for file in two.cache.folder.glob("part*")}
    assert len(list(two.cache.folder.iterdir())) == 5
    assert all(a != b for a, b in itertools.pairwise(sorted(written)))
    np.testing.assert_allclose(two.all(), one.all(), atol=1e-5)
