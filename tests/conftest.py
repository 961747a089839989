import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Small models gain nothing by threads, and the tests run in two processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
