"""TV-L1: known motion, independence of the batch, odd input, and OpenCV's own result."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mofo.motion.flow.tvl1_solver import TVL1Settings, median5, tvl1_flow
from mofo.types import SettingsError


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = _load(Path(__file__).parents[1] / "golden" / "tvl1_opencv.py")

# Printed by `python tests/golden/tvl1_opencv.py` (its docstring says in which environment).
# OpenCV 5.0.0, mean end-point error 0.1041; rows of (u, v)
OPENCV_ERROR = 0.1041
OPENCV_FLOW = [
    [(0.887, -2.043), (1.379, -1.651), (1.954, -1.141), (2.434, -0.745)],
    [(0.556, -1.641), (1.064, -1.198), (1.644, -0.801), (2.111, -0.275)],
    [(0.186, -1.289), (0.774, -0.887), (1.244, -0.383), (1.847, 0.027)],
    [(-0.063, -0.933), (0.461, -0.473), (0.979, -0.013), (1.529, 0.413)],
]


def turn_and_zoom(degrees: float, zoom: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return zoom * np.array([[c, -s], [s, c]])


def solve(first: np.ndarray, second: np.ndarray, **options: float) -> np.ndarray:
    settings = TVL1Settings(**options)  # type: ignore[arg-type]
    flow = tvl1_flow(torch.from_numpy(first)[None], torch.from_numpy(second)[None], settings)
    assert flow.shape == (1, 2, *first.shape)
    assert flow.dtype == torch.float32
    assert bool(flow.isfinite().all())
    return flow[0].numpy()


def error_map(flow: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.hypot(*(flow - true))


@pytest.mark.parametrize(
    ("linear", "shift", "limit"),
    [
        (np.eye(2), (0.3, -0.4), 0.05),
        (np.eye(2), (-1.0, 2.0), 0.05),
        (np.eye(2), (6.0, -2.5), 0.05),
        (turn_and_zoom(1.5, 1.02), (0.5, 1.0), 0.05),
        (np.array([[1.02, 0.03], [-0.01, 0.99]]), (0.0, 0.0), 0.05),
    ],
    ids=["sub-pixel", "whole pixels", "large", "turn and zoom", "shear"],
)
def test_known_motion(linear: np.ndarray, shift: tuple[float, float], limit: float) -> None:
    first, second, true = golden.pair(96, 128, linear, shift, seed=1)
    error = error_map(solve(first, second), true)
    assert error[12:-12, 12:-12].mean() < limit
    assert error.mean() < 5 * limit  # what enters and leaves the picture is a guess


def test_moving_square_on_a_still_background() -> None:
    y, x = np.mgrid[:96, :128].astype(float)
    background, square = golden.texture(x, y, 2), golden.texture(x, y, 3)

    def frame(dx: int, dy: int) -> np.ndarray:
        image = background.copy()
        image[32 + dy : 64 + dy, 40 + dx : 80 + dx] = square[32:64, 40:80]
        return image.round().astype(np.uint8)

    flow = solve(frame(0, 0), frame(3, 2))
    inside = flow[:, 36:60, 44:76].reshape(2, -1)
    assert np.abs(np.median(inside, 1) - (3, 2)).max() < 0.1
    assert np.hypot(*(inside - [[3], [2]])).mean() < 0.3
    far = np.ones((96, 128), bool)
    far[24:74, 32:92] = False
    assert np.hypot(*flow)[far].mean() < 0.05


def test_golden_values_of_opencv() -> None:
    first, second, true = golden.pair()
    flow = solve(first, second)
    ours = flow[:, list(golden.ROWS)][:, :, list(golden.COLUMNS)].transpose(1, 2, 0)
    difference = np.linalg.norm(ours - np.array(OPENCV_FLOW), axis=-1)
    assert difference.mean() < 0.02
    assert difference.max() < 0.05
    assert error_map(flow, true).mean() < 1.05 * OPENCV_ERROR


@pytest.mark.parametrize("shift", [(0.4, -0.3), (3.0, 1.5), (5.0, -4.0)])
@pytest.mark.parametrize("linear", [np.eye(2), turn_and_zoom(1, 1.02)], ids=["shift", "affine"])
def test_opencv_itself(linear: np.ndarray, shift: tuple[float, float]) -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "optflow"):
        pytest.skip("this OpenCV is built without contrib's optflow")
    first, second, true = golden.pair(120, 160, linear, shift, seed=4)
    theirs = cv2.optflow.DualTVL1OpticalFlow_create().calc(first, second, None).transpose(2, 0, 1)
    ours = solve(first, second)
    # At the edges OpenCV reads zeros outside of the image and we read nothing.
    assert error_map(ours, theirs)[12:-12, 12:-12].mean() < 0.05
    assert np.median(error_map(ours, theirs)) < 0.01
    assert error_map(ours, true).mean() < 1.05 * error_map(theirs, true).mean() + 0.002


def test_a_pair_does_not_depend_on_its_batch() -> None:
    sets = [golden.pair(48, 56, np.eye(2), (0.7 * k, -0.4 * k), seed=k) for k in range(5)]
    first = torch.stack([torch.from_numpy(pair[0]) for pair in sets])
    second = torch.stack([torch.from_numpy(pair[1]) for pair in sets])
    second[1] = first[1]  # rests at once, while the others go on
    together = tvl1_flow(first, second)
    for k in range(5):
        alone = tvl1_flow(first[k : k + 1], second[k : k + 1])[0]
        torch.testing.assert_close(together[k], alone, rtol=0, atol=1e-5)


def test_constant_and_identical_images_do_not_move() -> None:
    first, _, _ = golden.pair(40, 48)
    grey = np.full((40, 48), 90, np.uint8)
    assert np.abs(solve(grey, grey)).max() == 0
    assert np.abs(solve(grey, grey + 50)).max() == 0
    assert np.abs(solve(first, first)).max() < 1e-3
    assert np.abs(solve(first, grey)).max() == 0  # nothing in the second image to follow


def test_flow_keeps_its_size_and_input_its_values() -> None:
    first, second, _ = golden.pair(41, 67)
    a, b = torch.from_numpy(first)[None], torch.from_numpy(second)[None]
    as_bytes = tvl1_flow(a, b)
    c, d = a.float(), b.float()
    as_floats = tvl1_flow(c, d)
    assert torch.equal(as_bytes, as_floats)
    assert torch.equal(c, a.float())
    assert torch.equal(d, b.float())


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (19, 21), (3, 5), (1, 1)])
def test_tiny_images(size: tuple[int, int]) -> None:
    first, second, true = golden.pair(*size, np.eye(2), (0.5, 0.25), seed=2)
    flow = solve(first, second)
    if min(size) >= 16:
        assert np.median(error_map(flow, true)) < 0.15


@pytest.mark.parametrize("shape", [(0, 20, 30), (2, 0, 30), (1, 20, 0)])
def test_empty(shape: tuple[int, int, int]) -> None:
    nothing = torch.zeros(shape, dtype=torch.uint8)
    assert tvl1_flow(nothing, nothing).shape == (shape[0], 2, *shape[1:])


def test_wrong_input() -> None:
    image = torch.zeros(1, 20, 30)
    with pytest.raises(ValueError, match=r"one shape \(B, H, W\), got \(\(20, 30\)"):
        tvl1_flow(image[0], image[0])
    with pytest.raises(ValueError, match="one shape"):
        tvl1_flow(image, image[:, :10])
    with pytest.raises(ValueError, match="both images uint8 or both float32"):
        tvl1_flow(image.double(), image.double())
    with pytest.raises(ValueError, match="both images uint8 or both float32"):
        tvl1_flow(image, image.byte())


def test_wrong_settings_are_all_named() -> None:
    with pytest.raises(SettingsError, match=r"warps = 0 .*scale_step = 1\.5 .*median = 3"):
        TVL1Settings(warps=0, scale_step=1.5, median=3)


def test_settings_are_used() -> None:
    first, second, true = golden.pair(48, 64, np.eye(2), (6, 0), seed=1)
    coarse_to_fine = error_map(solve(first, second), true).mean()
    assert coarse_to_fine < 0.5 * error_map(solve(first, second, scales=1, warps=1), true).mean()
    unfiltered = solve(first, second, median=0)
    assert np.abs(unfiltered - solve(first, second)).max() > 0


@pytest.mark.parametrize("run", [None, 64, 1000])
def test_median5_is_exact(run: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 23, 31, generator=generator)
    image[0] = image[0].round()  # many equal values
    padded = np.pad(image.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(2, 3))
    expected = np.median(windows.reshape(*image.shape, 25), axis=-1)
    assert np.array_equal(median5(image, run).numpy(), expected)


@pytest.mark.gpu
def test_gpu_gives_the_same_flow() -> None:
    if not torch.cuda.is_available():
        assert not os.environ.get("MOFO_REQUIRE_GPU"), "MOFO_REQUIRE_GPU is set, but no CUDA"
        pytest.skip("needs a CUDA device")
    sets = [golden.pair(96, 128, np.eye(2), (1.5 * k, -k), seed=k) for k in range(1, 4)]
    first = torch.stack([torch.from_numpy(pair[0]) for pair in sets])
    second = torch.stack([torch.from_numpy(pair[1]) for pair in sets])
    on_cpu = tvl1_flow(first, second)
    on_gpu = tvl1_flow(first.cuda(), second.cuda())
    assert on_gpu.is_cuda
    assert float((on_gpu.cpu() - on_cpu).norm(dim=1).mean()) < 0.01
