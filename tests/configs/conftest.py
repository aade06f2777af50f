"""What the tests of the configs share."""

import pytest
from mmengine.visualization import Visualizer


@pytest.fixture(scope="session")
def mini_coco(tmp_path_factory):
    """A COCO 2017 of a few small pictures; `coco_pictures.py` tells which."""
    from coco_pictures import make_mini_coco

    root = tmp_path_factory.mktemp("coco")
    make_mini_coco(root)
    return root


@pytest.fixture(autouse=True)
def _no_visualizer_of_another_run():
    for kind in (Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()
