import pytest
from mmengine.config import Config

from vanillanet_det.finetune.schedule import (
    default_input_size,
    flat_share,
    learning_rate,
    light_input_size,
    num_epochs,
    schedule,
    set_averaging,
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


@pytest.mark.parametrize(
    ("side", "size", "expected"),
    [
        (35, (640, 480), (256, 192)),
        (28, (640, 480), (320, 256)),
        (4, (640, 480), (640, 480)),  # too small for any size
        (200, (1333, 800), (256, 160)),
        (4, (4000, 3000), (640, 480)),
        (100, (160, 160), (160, 160)),  # no image is enlarged
    ],
)
def test_a_light_input_size_shows_the_smallest_class(side, size, expected):
    boxes = [(0, side)] * 5 + [(1, 3 * side)] * 50
    annotations = [dict(category_id=id, bbox=[0, 0, width, width]) for id, width in boxes]
    crowd = dict(category_id=2, bbox=[0, 0, 1, 1], iscrowd=1)
    coco = dict(_images(size), annotations=[*annotations, crowd])
    assert light_input_size(coco) == expected


def test_a_training_of_a_few_iterations_reaches_the_full_rate():
    (scheduler,) = schedule(1, 12, 1e-3, 8, layer_decay=False)["param_scheduler"]
    assert scheduler["warm_up"] == 1


@pytest.mark.parametrize(
    ("schedulers", "flat"),
    [
        ([dict(type="WarmUpFlatCosineLR", flat=0.5)], 0.5),
        (dict(type="mmdet.WarmUpFlatCosineLR", flat=0.25), 0.25),
        ([dict(type="LinearLR"), dict(type="WarmUpFlatCosineLR")], 0.0),
        ([dict(type="CosineAnnealingLR")], 0.0),
        (None, 0.0),
    ],
)
def test_the_flat_part_is_that_of_the_template(schedulers, flat):
    assert flat_share(Config(dict(param_scheduler=schedulers))) == flat


@pytest.mark.parametrize(("iterations", "momentum"), [(50, 0.1), (1000, 0.02), (10**6, 2e-4)])
def test_weights_are_averaged_over_a_share_of_the_run(iterations, momentum):
    hooks = dict(default_hooks=dict(ema=dict(type="EMAHook", momentum=0.5), timer=None))
    cfg = Config(dict(hooks, custom_hooks=[dict(type="mmengine.EMAHook", momentum=0.5)]))
    set_averaging(cfg, iterations)
    assert cfg.default_hooks.ema.momentum == pytest.approx(momentum)
    assert cfg.custom_hooks[0].momentum == pytest.approx(momentum)
