"""The command line prints the findings, and its status tells errors from warnings."""

import json

import pytest


@pytest.fixture
def config(small_config, tmp_path):
    """Write a config over `small_config`."""

    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(f"_base_ = '{small_config}'\n{text}\n")
        return path

    return write


def test_a_clean_config_is_summed_up(small_config, tool, capsys):
    assert tool("check_data", small_config) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("instances_train.json: 24 images, 69 annotations, 10 categories")
    assert printed[-1].startswith(f"{small_config}: 0 errors, 0 warnings; 30 images, ")
    assert printed[-1].endswith(" annotations, 10 classes")
    assert len(printed) == 3


def test_warnings_alone_are_status_0(config, tool, capsys):
    assert tool("check_data", config("auto_scale_lr = dict(base_batch_size=64)")) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("warning: optim_wrapper.optimizer.lr: ")
    assert "0 errors, 1 warnings" in printed


def test_errors_are_status_1_and_come_first(config, tool, capsys):
    wrong = "auto_scale_lr = dict(base_batch_size=64)\nmodel = dict(bbox_head=dict(num_classes=3))"
    assert tool("check_data", config(wrong)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("error: model.bbox_head.num_classes is 3")
    assert lines[0].endswith("[num-classes]")
    assert lines[1].startswith("warning: ")
    assert "1 errors, 1 warnings" in lines[-1]


def test_json_is_all_there_is_on_standard_output(config, tool, capsys):
    path = config("print('reading')\nmodel = dict(bbox_head=dict(num_classes=3))")
    assert tool("check_data", path, "--json", "--no-images") == 1
    printed = capsys.readouterr()
    content = json.loads(printed.out)
    (finding,) = content["findings"]
    assert (finding["level"], finding["code"], finding["count"]) == ("error", "num-classes", 1)
    assert content["config"] == str(path)
    assert {tuple(count) for count in content["files"].values()} == {
        ("images", "annotations", "classes")
    }
    assert "reading" in printed.err


def test_images_are_decoded_unless_disabled(small_config, tool, tmp_path, capsys):
    option = "train_dataloader.dataset.pipeline.0.color_type=unchanged"
    data = tmp_path / "images"
    data.mkdir()
    (data / "000001.png").write_bytes(b"none")
    options = ["--cfg-options", option, f"train_dataloader.dataset.data_prefix.img={data}"]
    assert tool("check_data", small_config, *options) == 1
    assert "[picture-unreadable]" in capsys.readouterr().out
    assert tool("check_data", small_config, "--no-images", *options) == 1
    assert "[picture-unreadable]" not in capsys.readouterr().out


def test_the_earlier_name_of_the_flag_is_answered_with_the_new_one(small_config, tool, capsys):
    assert tool("check_data", small_config, "--no-pictures") == 2
    printed = capsys.readouterr().err
    assert printed == "error: --no-pictures was renamed; use --no-images instead\n"


@pytest.mark.parametrize("args", [["no.py"], ["no.py", "--json"]])
def test_a_config_that_is_not_there_is_status_2(tool, args, capsys):
    assert tool("check_data", *args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: config no.py: there is no such file ")


def test_options_override_the_config(small_config, tool, capsys):
    assert tool("check_data", small_config, "--cfg-options", "load_from=no.pth") == 1
    assert "load_from: no.pth is missing" in capsys.readouterr().out
