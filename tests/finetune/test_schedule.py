import pytest
from mmengine.config import Config
from torch import nn

from vanillanet_det.finetune.schedule import (
    default_input_size,
    learning_rate,
    num_epochs,
    schedule,
)


def _images(*sizes):
    return dict(images=[dict(width=width, height=height) for width, height in sizes])


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(160, 160)] * 5, (160, 160)),  # no image is enlarged
        ([(640, 480)] * 9 + [(480, 640)], (640, 480)),  # also portrait images
        ([(500, 375)] * 3, (512, 384)),
        ([(4000, 3000)] * 3, (1088, 800)),  # never above COCO's
        ([(4000, 1000)] * 3, (1333, 352)),
        ([(640, 480)] * 19 + [(6000, 4000)], (640, 480)),  # one large image doesn't count
    ],
)
def test_input_size_is_that_of_the_images_up_to_cocos(sizes, expected):
    assert default_input_size(_images(*sizes)) == expected


def test_learning_rate_grows_with_the_batch():
    assert learning_rate("backbone", 16) == pytest.approx(2 * learning_rate("backbone", 8))
    assert learning_rate("nothing", 8) > learning_rate("detector", 8) > learning_rate("backbone", 8)


@pytest.mark.parametrize(("images", "expected"), [(50, 100), (2000, 16), (100_000, 6)])
def test_number_of_epochs(images, expected):
    assert num_epochs(images, batch_size=8) == expected


def test_the_rate_rises_and_falls_over_the_training(make_runner_of):
    """MMEngine's own schedulers, run to the end."""
    rates = make_runner_of(Config(schedule(4, 50, 1e-3, 8, layer_decay=False)))
    assert len(rates) == 200
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates.index(max(rates)) == pytest.approx(20, abs=2)
    assert rates[-1] == pytest.approx(1e-5, rel=0.2)


def test_a_training_of_a_few_iterations_has_the_full_rate(make_runner_of):
    cfg = Config(schedule(1, 12, 1e-3, 8, layer_decay=False))
    assert max(make_runner_of(cfg, 12)) == pytest.approx(1e-3)


@pytest.fixture
def make_runner_of():
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import PARAM_SCHEDULERS

    def make(cfg, length=50):
        model = nn.Conv2d(1, 1, 1)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        schedulers = [
            PARAM_SCHEDULERS.build(
                dict(one, optimizer=wrapper.optimizer),
                default_args=dict(epoch_length=length),
            )
            if not one.get("convert_to_iter_based")
            else PARAM_SCHEDULERS.get(one["type"]).build_iter_from_epoch(
                optimizer=wrapper.optimizer,
                epoch_length=length,
                **{k: v for k, v in one.items() if k not in ("type", "convert_to_iter_based")},
            )
            for one in cfg.param_scheduler
        ]
        rates = []
        for _ in range(cfg.train_cfg.max_epochs * length):
            rates.append(wrapper.optimizer.param_groups[0]["lr"])
            wrapper.optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        return rates

    return make
