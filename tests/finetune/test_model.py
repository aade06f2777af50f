import hashlib
from dataclasses import replace

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from vanillanet_det import UserError, VanillaNet
from vanillanet_det.analysis.meta import build_on_meta
from vanillanet_det.engine.options import backbone_arguments
from vanillanet_det.finetune.model import anchor_generator, has_masks, make_model
from vanillanet_det.finetune.start import Start, read_start, transfer
from vanillanet_det.models.backbones.mmdet_gresnet import GResNet
from vanillanet_det.models.backbones.state_dict import describe

NARROW = dict(dims=[8, 16, 32, 64], strides=[2, 2, 2])


@pytest.fixture(scope="module", autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


@pytest.fixture(scope="module")
def template(root):
    def read(name):
        return Config.fromfile(root / "configs" / f"{name}.py")

    return read


@pytest.fixture(scope="module")
def detector(template):
    """A small RetinaNet of ten classes: its config."""
    cfg = template("retinanet_vanillanet5_digits")
    cfg.model.backbone.arch = NARROW
    cfg.model.neck.update(in_channels=[16, 32, 64], out_channels=16)
    cfg.model.bbox_head.update(in_channels=16, feat_channels=16)
    return cfg


@pytest.fixture
def saved(detector, tmp_path):
    """The detector as a training saves it, with its config's text."""
    path = tmp_path / "detector.pth"
    model = MODELS.build(detector.model)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=detector.pretty_text)), path)
    return str(path)


@pytest.mark.parametrize("named", ["vanillanet5", "vanillanet11", "vanillanet13_x1_5", "gresnet50"])
@pytest.mark.parametrize("name", ["retinanet", "mask_rcnn", "faster_rcnn"])
def test_every_backbone_fits_its_neck(template, name, named):
    cfg = template(f"{name}_vanillanet11_coco")
    model = make_model(cfg, Start("nothing"), 2, backbone_arguments(named))
    backbone = build_on_meta(model.backbone)
    strides = [8, 16, 32] if name == "retinanet" else [4, 8, 16, 32]
    assert list(backbone.out_strides) == strides
    assert list(backbone.out_channels) == model.neck.in_channels
    build_on_meta(model)  # and the whole is a model


def test_all_heads_get_the_classes_of_the_data(template):
    model = make_model(template("cascade_rcnn_vanillanet11_coco"), Start("nothing"), 7)
    assert [head.num_classes for head in model.roi_head.bbox_head] == [7, 7, 7]
    model = make_model(template("mask_rcnn_vanillanet11_coco"), Start("nothing"), 7)
    assert (model.roi_head.bbox_head.num_classes, model.roi_head.mask_head.num_classes) == (7, 7)
    assert has_masks(model)


def test_a_template_is_left_as_it_is(template):
    cfg = template("retinanet_vanillanet11_coco")
    make_model(cfg, Start("nothing"), 2, backbone_arguments("vanillanet5"))
    assert cfg.model.bbox_head.num_classes == 80
    assert cfg.model.backbone.arch == "11"


def test_a_detector_brings_its_own_model_and_loses_only_its_classes(template, saved):
    start = read_start(saved)
    model = make_model(template("retinanet_vanillanet11_coco"), start, 2)
    assert model.backbone.arch.dims == NARROW["dims"]
    assert model.backbone.init_cfg is None
    found = transfer(start, model, ("a", "b"))
    assert found.remade == ("bbox_head.retina_cls.weight", "bbox_head.retina_cls.bias")
    assert not found.missing
    assert not found.left_over
    assert len(found.kept) + 2 == len(build_on_meta(model).state_dict())
    listing = found.listing().splitlines()
    assert "re-made   bbox_head.retina_cls.bias" in listing
    assert listing[0].startswith("Weights of the classes: random, since the file doesn't name its")
    assert len(listing) == len(found.kept) + 3


def test_imagenet_weights_go_into_the_backbone(template, tmp_path):
    path = tmp_path / "vanillanet_5.pth"
    torch.save(dict(model_ema=VanillaNet("5").state_dict()), path)
    start = read_start(str(path))
    assert (start.kind, start.arch) == ("backbone", "5")
    model = make_model(template("retinanet_vanillanet11_coco"), start, 2)
    assert model.backbone.arch == "5"
    assert model.backbone.init_cfg == dict(type="Pretrained", checkpoint=str(path))
    found = transfer(start, model, ("a", "b"))
    assert all(name.startswith("backbone.") for name in found.kept)
    assert len(found.kept) == len(start.state)
    assert not any(name.startswith("backbone.") for name in found.missing)


def test_anchors_are_found_in_one_and_in_two_stages(template):
    for name in ("retinanet_vanillanet11_coco", "mask_rcnn_vanillanet11_coco"):
        assert anchor_generator(template(name).model)["type"] == "AnchorGenerator"
    assert anchor_generator(dict(bbox_head=dict(type="FCOSHead"))) is None


def test_freezing_and_merging(template, saved, tmp_path):
    cfg = template("retinanet_vanillanet11_coco")
    path = tmp_path / "vanillanet_5.pth"
    torch.save(VanillaNet("5").state_dict(), path)
    start = read_start(str(path))
    backbone = make_model(cfg, start, 2, freeze=2, merged=True).backbone
    assert (backbone.frozen_stages, backbone.merged) == (2, True)
    with pytest.raises(UserError, match="merge the file first"):
        make_model(cfg, read_start(saved), 2, merged=True)
    with pytest.raises(UserError, match="--merged: requires --weights"):
        make_model(cfg, Start("nothing"), 2, merged=True)


@pytest.fixture
def random_5(tmp_path):
    """Published weights of VanillaNet-5, their file."""
    path = tmp_path / "vanillanet_5.pth"
    torch.save(VanillaNet("5").state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["retinanet", "mask_rcnn"])
def test_a_pretrained_gresnet_goes_into_the_backbone(template, tmp_path, name):
    path = tmp_path / "gresnet.pth"
    torch.save(GResNet(width=8).state_dict(), path)
    start = read_start(str(path))
    assert start.network == dict(type="GResNet", depth=50, width=8, in_channels=3)
    model = make_model(template(f"{name}_vanillanet11_coco"), start, 2)
    assert model.backbone.init_cfg.checkpoint == str(path)
    assert model.neck.in_channels == [32, 64, 128, 256][-len(model.neck.in_channels) :]
    found = transfer(start, model, ("a", "b"))
    assert len([name for name in found.kept if name.startswith("backbone.")]) > 200
    assert not any(name.startswith("backbone.") for name in (*found.missing, *found.remade))
    with pytest.raises(UserError, match="--merged: GResNet has no merged form"):
        make_model(template(f"{name}_vanillanet11_coco"), start, 2, merged=True)
    deployed = GResNet(width=8, deploy=True)
    torch.save(deployed.state_dict(), path)
    with pytest.raises(UserError, match="is fused, and a fused network can't be trained"):
        read_start(str(path))


def test_a_detector_without_a_neck_keeps_its_arch(template, random_5):
    cfg = template("faster_rcnn_vanillanet11_coco")
    cfg.model.backbone.update(arch="5", out_indices=(3,))
    cfg.model.pop("neck")
    model = make_model(cfg, read_start(str(random_5)), 2)
    assert (model.backbone.arch, model.backbone.out_indices) == ("5", (3,))
    with pytest.raises(
        UserError,
        match=r"has the backbone vanillanet5.* to vanillanet11.* no neck",
    ):
        make_model(cfg, Start("nothing"), 2, backbone_arguments("vanillanet11"))


def test_the_first_of_several_necks_gets_the_channels(template):
    cfg = template("retinanet_vanillanet11_coco")
    cfg.model.neck = [cfg.model.neck, dict(type="DyHead", in_channels=256, out_channels=256)]
    model = make_model(cfg, Start("nothing"), 2, backbone_arguments("vanillanet13_x1_5"))
    assert model.neck[0].in_channels == [1536, 3072, 6144]


def test_what_is_not_the_config_of_a_detector(template):
    for model in (None, dict(type="RetinaNet"), dict(backbone=None)):
        cfg = template("retinanet_vanillanet11_coco")
        cfg.model = model
        with pytest.raises(UserError, match=r"--model \S+: has no model with a backbone config"):
            make_model(cfg, Start("nothing"), 2)
    start = Start("detector", "w.pth", model=ConfigDict(type="ATSS"))
    with pytest.raises(UserError, match=r"--weights w\.pth: its model, ATSS, has no backbone"):
        make_model(template("retinanet_vanillanet11_coco"), start, 2)


def test_what_is_random_can_not_be_frozen(template, random_5):
    cfg = template("retinanet_vanillanet11_coco")
    with pytest.raises(UserError, match=r"--freeze 0: requires --weights"):
        make_model(cfg, Start("nothing"), 2, freeze=0)
    assert make_model(cfg, read_start(str(random_5)), 2, freeze=0).backbone.frozen_stages == 0


def test_weights_are_found_again_from_any_folder(template, random_5, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make_model(template("retinanet_vanillanet11_coco"), read_start(random_5.name), 2)
    assert model.backbone.init_cfg.checkpoint == str(random_5)
    # A URL stays one; it was downloaded before.
    url = "https://localhost/vanillanet_5.pth"
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    folder = tmp_path / "checkpoints" / hashlib.sha256(url.encode()).hexdigest()[:12]
    folder.mkdir(parents=True)
    random_5.rename(folder / "vanillanet_5.pth")
    assert read_start(url).path == url


def test_an_arch_beside_weights_that_have_one(template, saved):
    cfg, other = template("retinanet_vanillanet11_coco"), backbone_arguments("vanillanet5")
    with pytest.raises(
        UserError, match=r"--backbone vanillanet5: the model of --weights .*; omit --backbone"
    ):
        make_model(cfg, read_start(saved), 2, other)


def test_what_is_random_is_not_frozen(template):
    backbone = make_model(template("retinanet_resnet50_coco"), Start("nothing"), 2).backbone
    assert (backbone.frozen_stages, backbone.norm_eval) == (-1, False)


def test_a_model_that_can_not_be_built(template):
    cfg = template("retinanet_vanillanet11_coco")
    cfg.model.bbox_head.anchor_generator.strides = "none"
    with pytest.raises(UserError, match=r"--model \S+_coco\.py: its model can't be built here"):
        make_model(cfg, Start("nothing"), 2)


def test_weights_nobody_can_train_on(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(VanillaNet("5", deploy=True).state_dict(), path)
    with pytest.raises(UserError, match="a fused network can't be trained"):
        read_start(str(path))
    torch.save(dict(state_dict={"fc.weight": torch.ones(2)}), path)
    with pytest.raises(UserError, match=r"neither a detector .* nor a VanillaNet"):
        read_start(str(path))
    torch.save(dict(epoch=3), path)
    with pytest.raises(UserError, match="contains no tensors"):
        read_start(str(path))


def test_a_files_config_names_no_code_and_no_other_file(template, detector, saved, tmp_path):
    checkpoint = torch.load(saved, weights_only=True)
    elsewhere = "init_cfg=dict(type='Pretrained', checkpoint='http://localhost/x')"
    text = detector.pretty_text
    checkpoint["meta"]["cfg"] = f"{text}\nmodel['neck']['init_cfg'] = dict({elsewhere})\n"
    path = tmp_path / "other.pth"
    torch.save(checkpoint, path)
    model = make_model(template("retinanet_vanillanet11_coco"), read_start(str(path)), 2)
    assert "init_cfg" not in model.neck
    checkpoint["meta"]["cfg"] = f"{text}\nmodel['neck']['type'] = 'os.system'\n"
    torch.save(checkpoint, path)
    with pytest.raises(UserError, match=r"--weights .*other\.pth: .*'os.system'"):
        read_start(str(path))
    # MMEngine would write this entry's name as code.
    checkpoint["meta"]["cfg"] = f"{text}\nmodel['test_cfg'][\"a': print('b\"] = 1\n"
    torch.save(checkpoint, path)
    with pytest.raises(UserError, match=r"is not an argument name"):
        read_start(str(path))


def test_archs_with_the_same_tensors_are_not_guessed():
    state = build_on_meta(dict(type="VanillaNet", arch="13_x1_5")).state_dict()
    start = Start("backbone", "weights.pth", state, describe(state))
    with pytest.raises(UserError, match=r"13_x1_5 or 13_x1_5_ada_pool.*--backbone"):
        start.arch  # noqa: B018
    assert replace(start, arch_name="13_x1_5_ada_pool").arch == "13_x1_5_ada_pool"
