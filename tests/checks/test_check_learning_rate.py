"""The learning rate fits the total batch size."""

import pytest
from mmengine.config import Config

from vanillanet_det.checks.learning_rate import check_learning_rate


def check(batch_size, ranks=1, steps=1, **scaling):
    wrapper = dict(optimizer=dict(lr=8e-5), accumulative_counts=steps)
    loader = dict(batch_size=batch_size)
    cfg = dict(train_dataloader=loader, optim_wrapper=wrapper, auto_scale_lr=scaling)
    return check_learning_rate(Config(cfg), ranks)


def test_a_batch_of_another_size_is_a_warning_with_the_right_rate():
    (finding,) = check(4, base_batch_size=32)
    assert (finding.level, finding.code) == ("warning", "lr-batch")
    assert "8e-05 is meant for a batch size of 32" in finding.message
    assert "the total batch size is 4 (4 images x 1 processes); set it to 1e-05" in finding.message


@pytest.mark.parametrize(
    ("batch_size", "kwargs"),
    [
        (4, dict(ranks=8)),
        (4, dict(ranks=2, steps=4)),
        (16, {}),
        (64, {}),
        (4, dict(enable=True)),
        (4, dict(base_batch_size=None)),
    ],
)
def test_a_batch_near_it_or_a_rate_that_is_scaled_passes(batch_size, kwargs):
    assert check(batch_size, **{"base_batch_size": 32, **kwargs}) == []


def test_a_batch_that_is_much_larger_is_a_warning():
    assert "(8 images x 4 processes x 3 steps)" in check(8, 4, 3, base_batch_size=32)[0].message
