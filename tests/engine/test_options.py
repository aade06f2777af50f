"""Values of command lines are read, or refused in one sentence."""

import pytest

from vanillanet_det import UserError
from vanillanet_det.engine.options import parse_backbone


@pytest.mark.parametrize("arch", ["5", "11", "13_x1_5_ada_pool"])
def test_a_backbone_is_vanillanet_and_its_arch(arch):
    assert parse_backbone(f"vanillanet{arch}") == arch


@pytest.mark.parametrize("name", ["11", "vanillanet", "vanillanet4", "resnet50", "VanillaNet11"])
def test_another_backbone_is_refused_with_the_names(name):
    with pytest.raises(UserError, match=f"--backbone {name}: expected one of vanillanet5, "):
        parse_backbone(name)
