"""The one judgement of weights, by what is to be done with the model."""

import pytest
import torch
from torch import nn

from vanillanet_det import UserError
from vanillanet_det.checkpoints import Checkpoint, fit_model, fit_part


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(20)))
        self.head = nn.Linear(2, 2)


def checkpoint(left_out=(), **others):
    state = {k: v + 1 for k, v in Detector().state_dict().items() if not k.startswith(left_out)}
    return Checkpoint("a.pth", dict(state_dict={**state, **others}, optimizer={}, meta={}))


MANY, FEW, HEAD = ("backbone.1",), ("backbone.11",), ("head",)


@pytest.mark.parametrize(
    ("purpose", "left_out", "message"),
    [
        ("train", (), None),
        ("train", FEW + HEAD, None),
        ("train", MANY, "backbone 9 of 20, head 2 of 2; expected at least 90% of the backbone"),
        ("resume", (), None),
        ("resume", HEAD, "resuming needs every tensor"),
        ("evaluate", (), None),
        ("evaluate", FEW, "evaluation needs every tensor"),
        ("detect", (), None),
        ("detect", HEAD, "expected every tensor of the model and no other"),
        ("benchmark", MANY + HEAD, None),
        ("benchmark", ("backbone", "head"), "none of its 0 tensors belongs to the detector"),
    ],
)
def test_each_purpose_has_its_bar(purpose, left_out, message):
    source, model = checkpoint(left_out), Detector()
    if message is None:
        match = fit_model(model, source, purpose)
        assert set(match.matched) == set(source.state)
        for name in match.matched:
            assert torch.equal(model.state_dict()[name], source.state[name])
    else:
        with pytest.raises(UserError, match=message):
            fit_model(model, source, purpose)


def test_a_tensor_too_many_is_refused_where_nothing_is_trained():
    source = checkpoint(mask=torch.ones(1))
    fit_model(Detector(), source, "evaluate")
    with pytest.raises(UserError, match="1 left over"):
        fit_model(Detector(), source, "detect")


def test_a_tensor_of_the_model_may_have_a_second_name():
    state = dict(checkpoint().state)
    state["decoder.head.weight"] = state["head.weight"].clone()
    fit_model(Detector(), Checkpoint("a.pth", state), "detect")
    state["decoder.head.weight"] += 1
    with pytest.raises(UserError, match="1 left over"):
        fit_model(Detector(), Checkpoint("a.pth", state), "detect")


@pytest.mark.parametrize("key", ["optimizer", "meta"])
def test_weights_without_a_training_are_not_resumed(key):
    source = checkpoint()
    del source.content[key]
    with pytest.raises(UserError, match=f"no training state .{key} missing.*load_from=a.pth"):
        fit_model(Detector(), source, "resume")


def test_a_model_without_data_is_compared_silently(recwarn):
    with torch.device("meta"):
        model = Detector()
    assert fit_model(model, checkpoint(), "train").is_complete
    assert not recwarn.list


def test_a_part_is_compared_below_its_prefix():
    backbone = Detector().backbone
    assert fit_part(backbone, checkpoint(), "backbone.").is_complete
    with pytest.raises(UserError, match="expected at least 90%"):
        fit_part(backbone, checkpoint(), "neck.")


def test_a_part_that_knows_its_weights_is_asked():
    class Backbone(nn.Linear):
        def adapt_state_dict(self, state, arch_name):
            assert arch_name == "5"
            return {name.removeprefix("old."): tensor for name, tensor in state.items()}

    state = {f"backbone.old.{k}": v for k, v in nn.Linear(2, 2).state_dict().items()}
    source = Checkpoint("a.pth", dict(meta=dict(arch="vanillanet_5"), model=state))
    assert fit_part(Backbone(2, 2), source).is_complete
