"""TV-L1, the paper's flow."""

from __future__ import annotations

import numpy as np

from mofo.motion.flow.backend import FLOWS, PictureFlow


@FLOWS.register("tvl1")
class TVL1Flow(PictureFlow):
    """TV-L1 in plain torch, see tvl1_solver.py; on a GPU where there is one."""

    line = "TV-L1, the paper's; on a GPU where there is one"
    speed = 370

    def __init__(self) -> None:
        import torch  # only here: no other flow needs it

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.batch = 32 if self._device == "cuda" else 1

    def between(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """See ``PictureFlow.between``."""
        import torch

        from mofo.motion.flow.tvl1_solver import tvl1_flow

        first_BHW, second_BHW = (
            torch.from_numpy(np.stack(frames)).to(self._device) for frames in (first, second)
        )
        flow_B2HW = tvl1_flow(first_BHW, second_BHW)
        return list(flow_B2HW.permute(0, 2, 3, 1).contiguous().cpu().numpy())
