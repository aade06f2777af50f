"""YOLO11-VanillaNet as Ultralytics builds and fuses it."""

import copy
import pickle

import pytest
import torch
from PIL import Image, UnidentifiedImageError
from torch import nn
from torch.testing import assert_close

from vanillanet_det import UserError

ultralytics = pytest.importorskip("ultralytics", reason="needs the extra yolo")

from ultralytics import YOLO  # noqa: E402
from ultralytics.nn import tasks  # noqa: E402

from vanillanet_det.yolo import VanillaNet, load_backbone  # noqa: E402
from vanillanet_det.yolo.registration import MODELS  # noqa: E402

# Parameters as built, and fused.
COUNTS = {
    "yolo11n-vanillanet5": (29_779_664, 23_969_696),
    "yolo11s-vanillanet5": (36_377_408, 30_562_688),
    "yolo11m-vanillanet5": (44_263_872, 38_440_512),
    "yolo11l-vanillanet5": (47_504_576, 41_675_840),
    "yolo11x-vanillanet5": (70_620_224, 64_779_392),
    "yolo11n-vanillanet5-seg": (30_032_432, 24_222_112),
    "yolo11n-vanillanet9": (81_131_728, 49_841_568),
    "yolo11n-vanillanet9-seg": (81_384_496, 50_093_984),
    "yolo11n-vanillanet11": (98_142_416, 58_439_072),
    "yolo11n-vanillanet11-seg": (98_395_184, 58_691_488),
}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def layers(model):
    """Count modules as Ultralytics 8.3.0 did; the port had no rows of Index."""
    return sum(type(module).__name__ != "Index" for module in model.modules())


def randomize(model):
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
    return model.eval()


def output(model, image):
    found = model(image)
    while isinstance(found, (tuple, list)):
        found = found[0]
    return found


def test_every_yaml_is_counted():
    shipped = {path.stem for path in MODELS.glob("*.yaml")}
    assert {name.replace("11n", "11") for name in COUNTS if "11n" in name} == shipped


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name):
    model = YOLO(f"{name}.yaml").model
    built = count(model)
    assert (built, count(model.fuse(verbose=False))) == COUNTS[name]


def test_the_port_is_the_published_one():
    model = YOLO("yolo11n-vanillanet5.yaml").model
    assert (layers(model), count(model)) == (258, 29_779_664)
    assert model.info(verbose=True)[3] == pytest.approx(150.6, abs=0.1)
    own = copy.deepcopy(model)
    own.model[0].set_act_lambda(0.5)
    own.fuse(verbose=False)  # Ultralytics' layers alone
    assert (layers(own), count(own)) == (205, 29_772_192)
    assert own.info(verbose=True)[3] == pytest.approx(150.5, abs=0.1)
    fused = model.fuse(verbose=False)
    assert count(fused) == 23_969_696
    assert fused.info(verbose=True)[3] > 90  # 0 if the image's channels aren't found


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_fused_equals_unfused(narrow, task):
    model = randomize(YOLO(narrow[task]).model).double()
    image = torch.rand(2, 3, 96, 128, dtype=torch.float64)
    with torch.no_grad():
        expected = output(model, image)
        own = copy.deepcopy(model)
        own.model[0].fuse()
        assert own.model[0].deploy
        assert_close(output(own, image), expected, rtol=1e-9, atol=1e-9)
        fused = model.float().fuse(verbose=False)
        assert_close(output(fused, image.float()), expected.float(), rtol=1e-4, atol=1e-3)
    assert model.model[0].deploy


def test_it_is_fused_at_lambda_1_alone(narrow, caplog):
    model = YOLO(narrow["detect"]).model.eval()
    model.model[0].set_act_lambda(0.25)
    before = model.model[0].state_dict().keys()
    with caplog.at_level("WARNING", logger="ultralytics"):
        tasks.LOGGER.propagate = True
        model.fuse(verbose=False)
        tasks.LOGGER.propagate = False
    assert "not fused: lambda is 0.25" in caplog.text
    assert model.model[0].state_dict().keys() == before


def test_batch_norms_keep_the_published_eps(narrow):
    norms = [m for m in YOLO(narrow["detect"]).model.model[0].modules() if hasattr(m, "eps")]
    assert len(norms) == 12
    assert {norm.eps for norm in norms} == {1e-6}


def test_images_of_one_channel(narrow, tmp_path):
    text = narrow["detect"].read_text()
    path = tmp_path / "yolo11n-grey.yaml"
    path.write_text(text + "\nch: 1\n")
    model = tasks.DetectionModel(str(path), ch=1, verbose=False)
    assert model.model[0].in_channels == 1
    model.eval()(torch.zeros(1, 1, 64, 64))


def test_it_is_pickled_before_and_after_fusion(narrow):
    model = YOLO(narrow["detect"]).model.eval()
    image = torch.rand(1, 3, 64, 64)
    for each in (model, model.fuse(verbose=False)):
        with torch.no_grad():
            again = pickle.loads(pickle.dumps(each))  # noqa: S301  own bytes
            assert_close(output(again, image), output(each, image))


@pytest.mark.parametrize(
    ("arch", "options", "message"),
    [
        ("vanillanet_4", {}, r"arch '4'; expected one of 5, 6"),
        (5, {}, r"arch 5; expected a name"),
        ("vanillanet_5", {"act_nums": 4}, r"options .*act_nums"),
        ("vanillanet_5", {"act_num": -1}, r"act_num -1"),
    ],
)
def test_wrong_arguments(arch, options, message):
    with pytest.raises(UserError, match=message):
        VanillaNet([3], arch, options)


def test_weights_of_the_backbone(narrow, tmp_path):
    source = randomize(YOLO(narrow["detect"]).model).model[0]
    state = source.state_dict()
    del state["act_lambda"]  # which published files lack
    path = tmp_path / "vanillanet.pth"
    torch.save({"model": state}, path)
    yolo = YOLO(narrow["detect"])
    assert load_backbone(yolo, path) is yolo
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(yolo.model.model[0].eval()(image), source(image)):
            assert_close(ours, theirs, rtol=0, atol=0)
    assert yolo.ckpt


def test_wrong_weights(narrow, tmp_path):
    yolo = YOLO(narrow["detect"])
    with pytest.raises(UserError, match=r"no\.pth: there is no such file"):
        load_backbone(yolo, tmp_path / "no.pth")
    torch.save(VanillaNet(3, "vanillanet_6").state_dict(), tmp_path / "6.pth")
    with pytest.raises(UserError, match=r"6\.pth: the weights are of arch '6'"):
        load_backbone(yolo, tmp_path / "6.pth")
    with pytest.raises(UserError, match=r"has no VanillaNet"):
        load_backbone(YOLO("yolo11n.yaml"), tmp_path / "6.pth")


def test_pillow_opens_images_as_before(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "a.png")
