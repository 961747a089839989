import os

import pytest
import torch.distributed as dist


@pytest.fixture
def one_process(tmp_path, monkeypatch):
    """A process group of this process alone."""
    monkeypatch.setitem(os.environ, "GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()
