"""The embedded dataset passes without a warning."""

from mmengine.config import Config

from vanillanet_det.checks import check_config


def test_the_embedded_data_set_passes(small_config):
    assert check_config(Config.fromfile(small_config)) == []
