"""The command line of the training cost: its flags, and the ones of earlier versions."""

import pytest

from vanillanet_det import apis


def test_the_flags_reach_the_package(tool, monkeypatch, capsys):
    monkeypatch.setattr(apis, "training_cost", lambda **kwargs: kwargs)
    args = ("--backbone", "vanillanet5", "--input-size", "64x96", "--batch-size", 1)
    assert tool("training_cost", *args) == 0
    flags = dict(backbone="vanillanet5", batch_size=1, input_size="64x96", repeats=5, device="cpu")
    flags["beside"] = []
    assert capsys.readouterr().out == f"{flags}\n"


@pytest.mark.parametrize(
    ("old", "value", "new"), [("--arch", "5", "--backbone"), ("--size", 64, "--input-size")]
)
def test_a_renamed_flag_is_answered_with_its_new_name(tool, capsys, old, value, new):
    assert tool("training_cost", old, value) == 2
    assert capsys.readouterr().err == f"error: {old} was renamed; use {new} instead\n"
