"""Weights that don't fit the model are refused before they are used."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch.testing import assert_close

from vanillanet_det import UserError, VanillaNet, switch_to_deploy
from vanillanet_det.checkpoints import read_checkpoint

# What MMDetection 2.x stores, and no lambda.
WRAPPERS = {
    "mmdetection_2": lambda state: {"meta": {"CLASSES": ("0", "1")}, "state_dict": state},
    "data_parallel": lambda state: {
        "state_dict": {f"module.module.{k}": v for k, v in state.items()}
    },
    "model": lambda state: {"model": state},
    "bare": dict,
}


@pytest.fixture
def published(make_runner, randomize_norms):
    """The tensors of a trained detector, as published ones are named."""
    model = randomize_norms(make_runner().model)
    return {k: v for k, v in model.state_dict().items() if not k.endswith("act_lambda")}


@pytest.fixture
def save(tmp_path):
    """Save a checkpoint; returns its path."""

    def save(content):
        torch.save(content, tmp_path / "saved.pth")
        return str(tmp_path / "saved.pth")

    return save


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("tta", [False, True])
def test_a_published_detector_is_evaluated_with_all_its_weights(
    make_runner, published, save, logged, wrapper, tta
):
    runner = make_runner(load_from=save(WRAPPERS[wrapper](published)))
    if tta:
        cfg = runner.cfg
        cfg.model = dict(**cfg.tta_model, module=cfg.model)
        cfg.experiment_name += " tta"
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        runner = type(runner).from_cfg(cfg)
    runner.test()
    model = runner.model.module if tta else runner.model
    found = {k: v for k, v in model.state_dict().items() if k in published}
    assert_close(found, published, rtol=0, atol=0)
    assert "0 missing, 0 left over: backbone " in logged()


def test_a_fused_detector_is_evaluated_as_it_is(make_runner, published, save, logged):
    deployed = make_runner(**{"model.backbone.deploy": True}).model
    trained = make_runner().model
    trained.load_state_dict(published)
    fused = switch_to_deploy(trained).state_dict()
    runner = make_runner(load_from=save({"state_dict": fused}), **{"model.backbone.deploy": True})
    runner.test()
    assert_close(runner.model.state_dict(), fused, rtol=0, atol=0)
    deployed.load_state_dict(fused)  # strictly


def test_it_looks_into_a_model_wrapper_and_averaged_weights_load_too(
    make_runner, published, save, tmp_path, one_process_group
):
    ema = [dict(type="EMAHook")]
    runner = make_runner(load_from=save({"model": published}), custom_hooks=ema)
    runner.model = MMDistributedDataParallel(runner.model)
    original = runner.model
    runner.test()
    assert runner.model is original
    averaged = next(hook.ema_model for hook in runner.hooks if hasattr(hook, "ema_model")).module
    for model in (original.module, averaged):
        found = {k: v for k, v in model.state_dict().items() if k in published}
        assert_close(found, published, rtol=0, atol=0)


def test_less_than_another_backbone_is_refused_in_training(make_runner, save):
    resnet = dict(_delete_=True, type="ResNet", depth=18, out_indices=(1, 2, 3))
    changes = {"model.backbone": resnet, "model.neck.in_channels": [128, 256, 512]}
    state = make_runner(**changes).model.state_dict()
    path = save({"state_dict": without("layer4")(state)})
    with pytest.raises(UserError, match=r"expected at least 90% of the backbone"):
        make_runner(load_from=path, **changes).train()


def test_other_backbones_and_what_the_model_renames(make_runner, save, logged):
    resnet = dict(_delete_=True, type="ResNet", depth=18, out_indices=(1, 2, 3))
    changes = {"model.backbone": resnet, "model.neck.in_channels": [128, 256, 512]}
    state = make_runner(**changes).model.state_dict()
    # A proposal network of MMDetection 2.x, whose head has another name.
    renamed = {key.replace("bbox_head.", "rpn_head."): value for key, value in state.items()}
    make_runner(load_from=save({"state_dict": renamed}), **changes).test()
    assert "tensors match, 0 missing, 0 left over: backbone " in logged()


def without(*parts):
    return lambda state: {k: v for k, v in state.items() if not any(p in k for p in parts)}


def fused(state):
    return {**without("backbone")(state), **below_backbone(tiny(deploy=True))}


def tiny(**kwargs):
    return VanillaNet(arch=dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]), **kwargs)


def below_backbone(network):
    return {f"backbone.{key}": value for key, value in network.state_dict().items()}


def only_backbone(state):
    return {key[9:]: value for key, value in state.items() if key.startswith("backbone.")}


def of_other_classes(state):
    return {key: value[:2] if "retina_cls" in key else value for key, value in state.items()}


REFUSED_IN_EVALUATION = {
    "no_head": (
        without("retina_cls"),
        r"2 missing \(bbox_head\.retina_cls.*evaluation needs",
    ),
    "no_backbone": (without("backbone"), "0 of .* of a VanillaNet; expected at least 90%"),
    "only_backbone": (only_backbone, r"0 of .*init_cfg=dict\(type='Pretrained'"),
    "other_classes": (of_other_classes, "2 of a different shape .*evaluation needs every tensor"),
    "fused": (fused, "of the deployed form.*--cfg-options model.backbone.deploy=True"),
    "other_act_num": (
        lambda state: {**state, **below_backbone(tiny(act_num=1))},
        "act_num 1, but the network is .* act_num 3",
    ),
}


@pytest.mark.parametrize("kind", REFUSED_IN_EVALUATION)
def test_an_evaluation_with_random_weights_is_refused(make_runner, published, save, kind):
    change, said = REFUSED_IN_EVALUATION[kind]
    path = save({"state_dict": change(published)})
    hooks = [dict(type="EMAHook")]
    with pytest.raises(UserError, match=rf"^{path}: .*{said}"):
        make_runner(load_from=path, custom_hooks=hooks).test()


def test_training_weights_in_a_deployed_model_are_refused(make_runner, published, save):
    path = save({"state_dict": published})
    with pytest.raises(UserError, match=rf"^{path}: .* of the training form.*remove deploy"):
        make_runner(load_from=path, **{"model.backbone.deploy": True}).test()


def test_what_is_no_checkpoint_is_refused(make_runner, save):
    with pytest.raises(UserError, match="contains a list; expected a checkpoint"):
        make_runner(load_from=save([1, 2])).test()


def test_a_training_may_start_from_another_head(make_runner, published, save, logged):
    state = {**of_other_classes(published), "mask_head.weight": torch.ones(1)}
    runner = make_runner(load_from=save({"state_dict": state}), **{"train_cfg.max_epochs": 1})
    runner.train()
    assert (
        "1 left over (mask_head.weight), 2 of a different shape (bbox_head.retina_cls" in logged()
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (only_backbone, r"expected at least 90%.*init_cfg=dict\(type='Pretrained'"),
        (without("backbone.stages.0", "backbone.stem2"), "of a VanillaNet; expected at least 90%"),
        (fused, "train from a training checkpoint"),
    ],
)
def test_a_training_from_less_than_a_backbone_is_refused(
    make_runner, published, save, change, said
):
    with pytest.raises(UserError, match=said):
        make_runner(load_from=save({"state_dict": change(published)})).train()


def test_a_deployed_network_is_not_trained(make_runner):
    with pytest.raises(UserError, match=r"^backbone: deploy=True, but .*deploy=False"):
        make_runner(**{"model.backbone.deploy": True}).train()


@pytest.mark.slow
def test_resuming_needs_training_state_and_every_tensor(make_runner, tmp_path, save):
    make_runner(**{"train_cfg.max_epochs": 1}).train()
    whole = read_checkpoint(tmp_path / "epoch_1.pth")
    resume = dict(resume=True)
    weights = {"meta": whole["meta"], "state_dict": whole["state_dict"]}
    with pytest.raises(UserError, match=r"weights but no training state \(optimizer missing\)"):
        make_runner(load_from=save(weights), **resume).train()
    partial = {**whole, "state_dict": without("retina_cls")(whole["state_dict"])}
    with pytest.raises(UserError, match="resuming needs every tensor"):
        make_runner(load_from=save(partial), **resume).train()
    deployed = {**whole, "state_dict": fused(whole["state_dict"])}
    with pytest.raises(UserError, match=r"of the deployed form.*from a training checkpoint"):
        make_runner(load_from=save(deployed), **resume).train()
    make_runner(load_from=save(whole), **resume).train()


def test_a_network_that_nothing_would_take_to_lambda_1_is_not_trained(make_runner, published, save):
    path = save({"state_dict": {**published, "backbone.act_lambda": torch.tensor(0.25)}})
    said = r"^backbone: lambda is 0\.25, but nothing would raise it to 1.*DeepTrainingHook"
    with pytest.raises(UserError, match=said):
        make_runner(load_from=path).train()
