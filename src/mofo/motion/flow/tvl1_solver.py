"""TV-L1 optical flow in plain torch: batched, on any device.

Zach, Pock, Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007;
Sánchez Pérez, Meinhardt-Llopis, Facciolo, "TV-L1 Optical Flow Estimation", IPOL 2013. Defaults,
median filter between iterations and pyramid without smoothing are those of OpenCV's
DualTVL1OpticalFlow; unlike there, nothing is read from outside of the image. Our own code.

Shape letters: B pairs, H W rows and columns, 2 the components (u, v) = (x, y) of the flow.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from mofo.types import SettingsError

# A squared image gradient (grey levels^2 / pixel^2) below this carries no motion.
_FLAT = 1e-7
# Neither image axis is shrunk below this many pixels.
_SMALLEST_SIDE = 16
# Pixels of the pairs that are solved together (at least one pair): few keep the working set in a
# CPU's cache, a GPU wants many, at roughly 400 bytes each.
_CPU_PIXELS = 1 << 15
_GPU_PIXELS = 1 << 22
# Pixels that the median filter takes at once on a CPU.
_CPU_RUN = 1 << 15


@dataclass(frozen=True)
class TVL1Settings:
    """Parameters of TV-L1; the defaults are the papers' and OpenCV's.

    Attributes:
        tau: step of the dual variable (at most .25 is proven to converge).
        lam: weight of the data term (lambda); smaller is smoother.
        theta: tightness of the coupling between the data term and the smooth flow.
        scales: most pyramid levels; fewer where a side would fall under 16 pixels.
        scale_step: size of a level over the size of the next finer one, in (0, 1).
        warps: how often per level the second image is warped and linearised again.
        epsilon: stop when the flow's root mean square change in an iteration is below (pixels).
        inner: iterations between two median filterings.
        outer: median filterings (each with ``inner`` iterations) a warp, at most.
        median: median filter of the flow, 5 (pixels) or 0 (none).
        check_every: convergence is looked at every so many iterations.
    """

    tau: float = 0.25
    lam: float = 0.15
    theta: float = 0.3
    scales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    epsilon: float = 0.01
    inner: int = 30
    outer: int = 10
    median: int = 5
    check_every: int = 5

    def __post_init__(self) -> None:
        wrong = [
            f"{item.name} = {getattr(self, item.name)!r} must be positive"
            for item in fields(self)
            if item.name not in ("epsilon", "median") and not getattr(self, item.name) > 0
        ]
        if self.scale_step >= 1:
            wrong.append(f"scale_step = {self.scale_step!r} must be below 1")
        if not self.epsilon >= 0:
            wrong.append(f"epsilon = {self.epsilon!r} must not be negative")
        if self.median not in (0, 5):
            wrong.append(f"median = {self.median!r} must be 5 or 0")
        if wrong:
            raise SettingsError("TV-L1 settings: " + "; ".join(wrong))


@torch.no_grad()
def tvl1_flow(
    first_BHW: Tensor, second_BHW: Tensor, settings: TVL1Settings | None = None
) -> Tensor:
    r"""Optical flow from ``first`` to ``second`` that minimises TV-L1.

    With the second image linearised around the flow so far, ``rho(u) = I1(x + u0) + <grad I1, u -
    u0> - I0``, it minimises ``int |grad u| + |grad v| + lambda |rho(w)| + |u - w|^2 / (2 theta)``
    in turns: ``w`` by soft thresholding of rho, ``u`` by Chambolle's dual iteration; from coarse to
    fine, with several linearisations a level (Sánchez et al. 2013, sections 2 and 3).

    Args:
        first_BHW: grey images, uint8 or float32, both in 0..255 (the scale that lambda means).
        second_BHW: same shape, type and device.
        settings: parameters; the papers' where None.

    Returns:
        float32 ``(B, 2, H, W)`` on the same device: ``(u, v)`` in pixels at the first image's
        pixels, so that ``first[y, x]`` is found again at ``second[y + v, x + u]``. Each pair stops
        by itself: which others are in its batch changes its flow by no more than rounding.

    Raises:
        ValueError: wrong shape, type or device.
    """
    settings = settings or TVL1Settings()
    _check(first_BHW, second_BHW)
    batch, height, width = first_BHW.shape
    flow_B2HW = torch.empty((batch, 2, height, width), device=first_BHW.device)
    if flow_B2HW.numel() == 0:
        return flow_B2HW
    pixels = _CPU_PIXELS if first_BHW.device.type == "cpu" else _GPU_PIXELS
    chunk = max(1, pixels // (height * width))
    for start in range(0, batch, chunk):
        part = slice(start, start + chunk)
        flow_2BHW = _pyramid_flow(first_BHW[part].float(), second_BHW[part].float(), settings)
        flow_B2HW[part] = flow_2BHW.transpose(0, 1)
    return flow_B2HW


def _check(first_BHW: Tensor, second_BHW: Tensor) -> None:
    shapes = tuple(first_BHW.shape), tuple(second_BHW.shape)
    if first_BHW.ndim != 3 or shapes[0] != shapes[1]:
        raise ValueError(f"tvl1_flow: expected two tensors of one shape (B, H, W), got {shapes}")
    types = first_BHW.dtype, second_BHW.dtype
    if types not in ((torch.uint8, torch.uint8), (torch.float32, torch.float32)):
        raise ValueError(f"tvl1_flow: expected both images uint8 or both float32, got {types}")
    devices = first_BHW.device, second_BHW.device
    if devices[0] != devices[1]:
        raise ValueError(f"tvl1_flow: expected both images on one device, got {devices}")


def _resample(images_BCHW: Tensor, size: tuple[int, int], step: float) -> Tensor:
    """Bilinear, pixel i of the result at ``(i + 1/2) step - 1/2``, edges repeated.

    ``F.interpolate`` would place pixels by the rounded sizes: tenths of a pixel at the far edges.
    """
    for axis, count in ((2, size[0]), (3, size[1])):
        have = images_BCHW.shape[axis]
        place = (torch.arange(count, device=images_BCHW.device) + 0.5) * step - 0.5
        place.clamp_(0, have - 1)
        index = place.long()
        weight = (place - index).view((-1, 1) if axis == 2 else (-1,))
        low = images_BCHW.index_select(axis, index)
        high = images_BCHW.index_select(axis, (index + 1).clamp_max(have - 1))
        images_BCHW = torch.lerp(low, high, weight)
    return images_BCHW


def _pyramid_flow(first_BHW: Tensor, second_BHW: Tensor, settings: TVL1Settings) -> Tensor:
    """Flow ``(2, B, H, W)`` of a few pairs, float32, from the coarsest level to the finest."""
    levels = [torch.stack([first_BHW, second_BHW], 1)]
    for _ in range(1, settings.scales):
        size = tuple(round(side * settings.scale_step) for side in levels[-1].shape[-2:])
        if min(size) < _SMALLEST_SIDE:
            break
        levels.append(_resample(levels[-1], (size[0], size[1]), 1 / settings.scale_step))

    flow_2BHW = first_BHW.new_zeros((2, len(first_BHW), 1, 1))
    for pair_B2HW in reversed(levels):
        height, width = pair_B2HW.shape[-2:]
        level = _Level(pair_B2HW, settings)
        # One channel each: with more, another kernel with other last bits may be chosen.
        single = flow_2BHW.view(-1, 1, *flow_2BHW.shape[-2:])
        finer = F.interpolate(single, (height, width), mode="bilinear", align_corners=False)
        flow_2BHW = level.flow_2BHW
        torch.div(finer.view_as(flow_2BHW), settings.scale_step, out=flow_2BHW)
        for _ in range(settings.warps):
            level.linearise()
            level.minimise()
    return flow_2BHW


class _Level:
    """One pyramid level: all buffers, allocated once, and views of them for every operation.

    The dual variable is kept times theta, so that ``u = w + div(dual)`` needs no product. It is
    laid out direction first: ``dual[0]`` belongs to d/dx, ``dual[1]`` to d/dy.
    """

    def __init__(self, pair_B2HW: Tensor, settings: TVL1Settings) -> None:
        self.settings = settings
        batch, _, height, width = pair_B2HW.shape
        self.batch = batch
        self.first_BHW, second_BHW = pair_B2HW[:, 0], pair_B2HW[:, 1]
        self.moving_B3HW = _with_gradient(second_BHW)
        new = pair_B2HW.new_zeros
        self.flow_2BHW = new((2, batch, height, width))
        self.before_2BHW, self.norm_2BHW = new((2, 2, batch, height, width))
        self.dual_22BHW = new((2, 2, batch, height, width))
        # Forward differences; the last column (row) is never written and stays 0, which also keeps
        # the dual variable 0 there: that is the boundary condition of the divergence.
        self.diff_22BHW = new((2, 2, batch, height, width))
        # Making a view takes as long as adding some thousand numbers: made here, once.
        self.flow_u, self.flow_v = self.flow_2BHW
        self.flow_left, self.flow_right = self.flow_2BHW[..., :-1], self.flow_2BHW[..., 1:]
        self.flow_upper, self.flow_lower = self.flow_2BHW[..., :-1, :], self.flow_2BHW[..., 1:, :]
        self.dual_x, self.dual_y = self.dual_22BHW
        self.dual_x_left, self.dual_y_upper = self.dual_x[..., :-1], self.dual_y[..., :-1, :]
        self.diff_x, self.diff_y = self.diff_22BHW
        self.diff_x_left, self.diff_y_upper = self.diff_x[..., :-1], self.diff_y[..., :-1, :]
        self.step_BHW = new((batch, height, width))
        self.one = torch.ones((), device=pair_B2HW.device)
        # Grid of grid_sample, align_corners=False: pixel x is at (2 x + 1) / W - 1.
        xs_W = (torch.arange(width, device=pair_B2HW.device) * 2 + 1) / width - 1
        ys_H = (torch.arange(height, device=pair_B2HW.device) * 2 + 1) / height - 1
        self.here_2HW = torch.stack([xs_W.expand(height, width), ys_H[:, None].expand(-1, width)])
        self.per_pixel_2 = pair_B2HW.new_tensor([2 / width, 2 / height])
        # Batches only: results of pairs that have converged, kept from further iterations.
        self.kept = (new(self.flow_2BHW.shape), new(self.dual_22BHW.shape)) if batch > 1 else None

    def linearise(self) -> None:
        """Warp the second image; write rho / |grad|^2 as ``offset + <slope, u>``."""
        shift_2BHW = self.flow_2BHW * self.per_pixel_2.view(2, 1, 1, 1)
        grid_BHW2 = (shift_2BHW + self.here_2HW[:, None]).permute(1, 2, 3, 0)
        warped_B3HW = F.grid_sample(
            self.moving_B3HW, grid_BHW2, mode="bicubic", padding_mode="border", align_corners=False
        )
        self.grad_2BHW = warped_B3HW[:, 1:].transpose(0, 1).contiguous()
        square_BHW = self.grad_2BHW.square().sum(0)
        # A pixel that has left the second image has no data term: its flow is filled in. (Zeros
        # around the image, as in OpenCV, let rounding errors grow tenfold a warp at the border.)
        usable_BHW = (square_BHW > _FLAT) & (grid_BHW2.abs() <= 1).all(-1)
        inverse_BHW = torch.where(usable_BHW, square_BHW.clamp_min(_FLAT).reciprocal(), 0.0)
        slope_2BHW = self.grad_2BHW * inverse_BHW
        self.slope_x, self.slope_y = slope_2BHW
        self.offset_BHW = (warped_B3HW[:, 0] - self.first_BHW) * inverse_BHW
        self.offset_BHW -= (slope_2BHW * self.flow_2BHW).sum(0)

    def minimise(self) -> None:
        """Iterate until every pair's flow rests, or ``outer * inner`` times."""
        options = self.settings
        done_B = torch.zeros(self.batch, dtype=torch.bool, device=self.flow_2BHW.device)
        for _ in range(options.outer):
            if options.median:
                self.flow_2BHW.copy_(median5(self.flow_2BHW))
            for iteration in range(1, options.inner + 1):
                check = iteration % options.check_every == 0 or iteration == options.inner
                if check:
                    self.before_2BHW.copy_(self.flow_2BHW)
                self._iterate_flow()
                if check:
                    change_B = (self.before_2BHW.sub_(self.flow_2BHW)).square_().mean((2, 3)).sum(0)
                    rests_B = change_B <= options.epsilon**2
                self._iterate_dual()
                if check and self._finish(rests_B, done_B):
                    return
        self._finish(torch.ones_like(done_B), done_B)

    def _finish(self, rests_B: Tensor, done_B: Tensor) -> bool:
        """Keep the pairs that rest for the first time; once all do, restore them all."""
        if self.kept is None:
            return bool(rests_B)
        fresh_B11 = (rests_B & ~done_B).view(-1, 1, 1)
        done_B |= rests_B
        state = (self.flow_2BHW, self.dual_22BHW)
        for kept, current in zip(self.kept, state, strict=True):
            torch.where(fresh_B11, current, kept, out=kept)
        if not bool(done_B.all()):
            return False
        for kept, current in zip(self.kept, state, strict=True):
            current.copy_(kept)
        return True

    def _iterate_flow(self) -> None:
        """``w = u - clip(rho / |grad|^2, +-lambda theta) grad``, then ``u = w + theta div p``."""
        bound = self.settings.lam * self.settings.theta
        torch.addcmul(self.offset_BHW, self.slope_x, self.flow_u, out=self.step_BHW)
        self.step_BHW.addcmul_(self.slope_y, self.flow_v).clamp_(-bound, bound)
        self.flow_2BHW.addcmul_(self.grad_2BHW, self.step_BHW, value=-1)
        self.flow_2BHW.add_(self.dual_x).add_(self.dual_y)
        self.flow_right.sub_(self.dual_x_left)
        self.flow_lower.sub_(self.dual_y_upper)

    def _iterate_dual(self) -> None:
        """``p = (p + tau/theta grad u) / (1 + tau/theta |grad u|)``, for u and v apart."""
        norm = self.norm_2BHW
        torch.sub(self.flow_right, self.flow_left, out=self.diff_x_left)
        torch.sub(self.flow_lower, self.flow_upper, out=self.diff_y_upper)
        torch.mul(self.diff_x, self.diff_x, out=norm)
        norm.addcmul_(self.diff_y, self.diff_y).sqrt_()
        torch.add(self.one, norm, alpha=self.settings.tau / self.settings.theta, out=norm)
        self.dual_22BHW.add_(self.diff_22BHW, alpha=self.settings.tau).div_(norm)


def _with_gradient(image_BHW: Tensor) -> Tensor:
    """``(B, 3, H, W)``: the image, and its central differences in x and y (edges repeated)."""
    padded = F.pad(image_BHW[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    dx_BHW = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) * 0.5
    dy_BHW = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) * 0.5
    return torch.stack([image_BHW, dx_BHW, dy_BHW], 1)


def median5(image_NBHW: Tensor, run: int | None = None) -> Tensor:
    """Exact median over 5x5 pixels, edges repeated, of ``(N, B, H, W)``: 85 minima and maxima.

    The padded images are one long row in which a neighbour is an offset, so all operations are on
    contiguous memory (values that mix two lines are made and dropped). On a CPU the long row is cut
    into runs of ``run`` pixels that stay in the cache.
    """
    height, width = image_NBHW.shape[-2:]
    padded = F.pad(image_NBHW, (2, 2, 2, 2), mode="replicate")
    line = width + 4
    halo = 4 * line + 4  # from the window's first pixel to its last
    flat = padded.view(-1)
    result = torch.empty_like(padded)
    row = result.view(-1)
    run = run or (_CPU_RUN if flat.device.type == "cpu" else len(flat))
    for start in range(0, len(flat) - halo, run):
        stop = min(start + run, len(flat) - halo)
        row[start:stop] = _median_of_row(flat[start : stop + halo], line)
    return result[..., :height, :width]


def _median_of_row(row: Tensor, line: int) -> Tensor:
    """The median of the 5x5 window that starts at each pixel of a long row with lines of ``line``.

    Sort the 5 columns of the window, then the 5 rows of the result: entry (i, j) then has at least
    (i+1)(j+1)-1 entries below it and (5-i)(5-j)-1 above. That leaves the three diagonals i+j = 3, 4
    and 5, and of the outer two only the largest and the smallest entry: the median of the 25 is
    that of these 7. Sorting pairs of neighbours is shared between windows.
    """
    entry: dict[tuple[int, int], Tensor] = {}
    for i, sorted_row in enumerate(_sorted_window(row, line, range(5))):
        wanted = range(max(0, 3 - i), min(5, 6 - i))
        for j, value in zip(wanted, _sorted_window(sorted_row, 1, wanted), strict=True):
            entry[i, j] = value
    below = torch.maximum(entry[0, 3], entry[1, 2])
    below = torch.maximum(below, torch.maximum(entry[2, 1], entry[3, 0]))
    above = torch.minimum(entry[1, 4], entry[2, 3])
    above = torch.minimum(above, torch.minimum(entry[3, 2], entry[4, 1]))
    pairs = _sorted2(entry[0, 4], entry[1, 3]), _sorted2(entry[3, 1], entry[4, 0])
    one, two, three = _sorted5(*pairs, entry[2, 2], range(1, 4))
    # Third of the sorted lists (one, two, three) and (below, above), merged.
    below, above = _sorted2(below, above)
    least_of_two = torch.minimum(torch.maximum(two, below), torch.maximum(one, above))
    return torch.minimum(three, least_of_two)


def _sorted_window(row: Tensor, step: int, wanted: range) -> list[Tensor]:
    """The ``wanted`` ones (0 smallest) of 5 pixels that are ``step`` apart, for each first one."""
    low, high = _sorted2(row[:-step], row[step:])
    size = len(row) - 4 * step
    first, fourth = slice(0, size), slice(3 * step, 3 * step + size)
    middle = row[2 * step : 2 * step + size]
    return _sorted5((low[first], high[first]), (low[fourth], high[fourth]), middle, wanted)


def _sorted2(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return torch.minimum(a, b), torch.maximum(a, b)


def _sorted5(
    pair: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], fifth: Tensor, wanted: range
) -> list[Tensor]:
    """The ``wanted`` ones (0 smallest) of five tensors, two pairs of which are sorted already."""
    least, low = _sorted2(pair[0], other[0])
    high, most = _sorted2(pair[1], other[1])
    four = (least, *_sorted2(low, high), most)
    # The fifth value pushed into the sorted four.
    pushed = [torch.minimum(least, fifth)] if 0 in wanted else []
    pushed += [torch.clamp(fifth, four[k - 1], four[k]) for k in wanted if 0 < k < 4]
    return [*pushed, torch.maximum(most, fifth)] if 4 in wanted else pushed
