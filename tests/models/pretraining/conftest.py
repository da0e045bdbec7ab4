import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small lose more by waiting for a second one
    yield
    torch.set_num_threads(threads)
