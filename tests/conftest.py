import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from usod.data.parallel import parallel_map
from usod.progress import set_quiet

from .workflow import slurm

# Tests run side by side: threads on top would only make them wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a job of a workflow has two all the same, they must not spin while others want the core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_sessionstart() -> None:
    slurm.remove_leftovers()


@pytest.fixture(scope="session", autouse=True)
def workers() -> None:
    """Python forks all workers of this process from one server, which has the imports that were first asked for."""
    imports = ("crf.superpixel", "handcrafted.extract", "models.model_file", "systems.deepusps", "systems.spectral")
    list(parallel_map(abs, range(2), 2, [f"usod.{name}" for name in imports]))


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    """A command that a test calls in this process with `--quiet` silences no other test."""
    yield
    set_quiet(False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the photographs with ground truth; the test is skipped where there are none."""
    folder = os.environ.get("USOD_REAL_DATA")
    if not folder:
        pytest.skip("USOD_REAL_DATA names no folder of photographs")
    return Path(folder) / "data"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    """A model that has learnt nothing, of working size 64."""
    import torch

    from usod.models.build import build_network
    from usod.models.config import NetworkConfig
    from usod.models.model_file import save_model

    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    config = NetworkConfig(light_width=8)
    torch.manual_seed(0)
    save_model(path, build_network(config), config, input_size=64)
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(params=[1, 2, 8])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads of PyTorch while a test runs: one, as many as our machines have, and more than they have."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
