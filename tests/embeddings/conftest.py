"""A classifier and a few images."""

import shutil

import pytest
import torch

from vanillanet_det.classifiers import GResNetTimm


@pytest.fixture(scope="module")
def network(randomize_norms):
    network = GResNetTimm(50, 10, width=8)
    return randomize_norms(network, torch.randn(4, 3, 64, 64)).eval()


@pytest.fixture(scope="module")
def classifier(network, tmp_path_factory):
    """A file of a classifier."""
    path = tmp_path_factory.mktemp("classifier") / "net.pth"
    torch.save(dict(model=network.state_dict()), path)
    return str(path)


@pytest.fixture
def scenes(small_digits, tmp_path):
    """A few images, and one in a folder of its own."""
    folder = tmp_path / "scenes"
    (folder / "deep").mkdir(parents=True)
    for path in sorted((small_digits / "val").glob("*.png"))[:5]:
        shutil.copy(path, folder)
    shutil.move(path.parents[0] / folder / path.name, folder / "deep" / path.name)
    return folder
