"""Checkpoints are read without running them."""

import argparse
import os
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint, save_checkpoint
from torch import nn
from torch.testing import assert_close

from vanillanet_det import UserError
from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.checkpoints.reading import read_ahead

pytestmark = pytest.mark.usefixtures("both_readers")


def training_state():
    history = HistoryBuffer()
    for loss in (3.0, 2.0, 1.5):
        history.update(loss)
    return dict(
        meta=dict(epoch=1, seed=np.int64(7), big_endian=np.arange(3, dtype=">i4")),
        message_hub=dict(
            log_scalars={"train/loss": history},
            runtime_info=dict(acc=np.float64(0.5), ok=np.bool_(True), half=np.float16(0.25)),
        ),
        param_schedulers=[
            dict(milestones=Counter([8, 11]), seen={1, 2}, device=torch.device("cpu"))
        ],
        args=argparse.Namespace(lr=0.1, model="vanillanet"),
        table=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        nothing=np.zeros((0, 2), np.uint8),
        zero_dim=np.array(4),
        state_dict=nn.Linear(3, 2).state_dict(),
    )


@pytest.mark.parametrize("as_zip", [True, False])
def test_training_state_comes_back_equal(path, as_zip):
    saved = training_state()
    torch.save(saved, path, _use_new_zipfile_serialization=as_zip)
    found = read_checkpoint(path)
    history = found["message_hub"]["log_scalars"]["train/loss"]
    assert type(history) is HistoryBuffer
    assert history.mean() == history.statistics("mean") == pytest.approx(6.5 / 3)
    history.update(0.5)
    assert history.current() == 0.5
    for key in ("args", "param_schedulers"):
        assert found[key] == saved[key]
    assert found["message_hub"]["runtime_info"] == saved["message_hub"]["runtime_info"]
    for kind, value in saved["message_hub"]["runtime_info"].items():
        assert type(found["message_hub"]["runtime_info"][kind]) is type(value)
    for a, b in [
        (found["table"], saved["table"]),
        (found["nothing"], saved["nothing"]),
        (found["zero_dim"], saved["zero_dim"]),
        (found["meta"]["big_endian"], saved["meta"]["big_endian"].astype("i4")),
    ]:
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b)
    assert_close(found["state_dict"], saved["state_dict"], rtol=0, atol=0)


def test_what_was_read_is_saved_again_as_plain_objects(path):
    torch.save(training_state(), path)
    again = pickle.dumps(read_checkpoint(path)["table"])
    assert b"vanillanet_det" not in again
    assert type(pickle.loads(again)) is np.ndarray  # noqa: S301
    torch.save(read_checkpoint(path), path)
    np.testing.assert_array_equal(read_checkpoint(path)["table"], training_state()["table"])


def test_mmengine_reads_and_loads_through_it(path):
    model = nn.Linear(3, 2)
    save_checkpoint({**training_state(), "state_dict": model.state_dict()}, str(path))
    assert CheckpointLoader.load_checkpoint(str(path))["args"].lr == 0.1
    other = nn.Linear(3, 2)
    load_checkpoint(other, str(path))
    assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)
    path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(UserError, match="truncated"):
        load_checkpoint(other, str(path))


class Calls:
    """Pickles as the call of a function, optionally with a state to set on the result."""

    def __init__(self, *call):
        self.call = call

    def __call__(self):
        """Pickle wants what it is told to call to be callable."""

    def __reduce__(self):
        return self.call


def refused_dtype(code, *state):
    return Calls(np.dtype, (code, False, True), *state)


SCALAR = np.float64(0).__reduce__()[0]
REFUSED = {
    "system": (Calls(os.system, ("touch ran",)), r"(posix|nt)\.system"),
    "eval": (Calls(eval, ("open('ran', 'w')",)), "eval"),
    "dunder": (Calls(getattr, (HistoryBuffer, "__init__")), "getattr of .*HistoryBuffer.*__init__"),
    "other_owner": (Calls(getattr, (np.ndarray, "tofile")), "getattr of .*tofile"),
    "nested": (
        Calls(getattr, (Calls(getattr, (HistoryBuffer, "mean")), "__globals__")),
        "getattr of .*mean.*__globals__",
    ),
    "method": (Calls(Calls(getattr, (HistoryBuffer, "mean")), ("ran",)), "HistoryBuffer.mean"),
    "class": (nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
    "objects": (np.array([None], dtype=object), "numpy dtype 'O8?'"),
    # numpy follows whatever address the bytes hold once a dtype claims to be of objects.
    "pointer": (Calls(SCALAR, (refused_dtype("O"), b"\x41" * 8)), "numpy dtype 'O8?'"),
}


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("kind", REFUSED)
def test_an_object_that_could_run_code_is_refused_by_name(path, monkeypatch, kind, as_zip):
    content, named = REFUSED[kind]
    torch.save({"state_dict": {}, "x": content}, path, _use_new_zipfile_serialization=as_zip)
    monkeypatch.chdir(path.parent)
    with pytest.raises(UserError, match=rf"^checkpoint {path}: refused.*\(.*{named}.*\); ask"):
        read_checkpoint(path)
    assert os.listdir() == [path.name]


def test_a_dtype_keeps_its_size_whatever_state_a_file_gives_it(path):
    crafted = refused_dtype("f8", (3, "<", None, None, None, 2**40, 1, 63))
    torch.save({"x": Calls(SCALAR, (crafted, b"\0" * 8))}, path)
    assert read_checkpoint(path)["x"] == 0


@pytest.mark.parametrize("shape", [(2,), (2**62, 4), "1"])
def test_an_array_whose_bytes_do_not_fit_its_shape_is_refused(path, shape):
    reconstruct, args, (version, _, dtype, order, data) = np.zeros(1).__reduce__()
    torch.save({"x": Calls(reconstruct, args, (version, shape, dtype, order, data))}, path)
    with pytest.raises(UserError, match=f"checkpoint {path}: .* can't be read"):
        read_checkpoint(path)


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.99])
def test_a_truncated_file_is_named(path, share, as_zip):
    torch.save(training_state(), path, _use_new_zipfile_serialization=as_zip)
    size = int(share * path.stat().st_size)
    os.truncate(path, size)
    with pytest.raises(UserError, match=f"checkpoint {path}: {size:,} bytes .* be truncated"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "text", ["hello", "# comment", "import os\n", '{"a": 1}', "(lp0\n.", "c\n"]
)
def test_a_text_file_is_none_of_pytorchs_and_not_accused_of_running_code(path, text):
    path.write_text(text)
    with pytest.raises(UserError, match=f"checkpoint {path}: .* can't be read as a") as caught:
        read_checkpoint(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_bytes_raise_nothing_else(path):
    random = np.random.RandomState(0)
    torch.save(training_state()["message_hub"], path, _use_new_zipfile_serialization=False)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    outcomes = set()
    for _ in range(300):
        damaged = content.copy()
        damaged[random.randint(len(damaged), size=3)] = random.randint(256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            read_checkpoint(path)
            outcomes.add("read")
        except UserError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("name", ["", "missing.pth"])
def test_a_folder_and_a_missing_file_are_named(tmp_path, name):
    with pytest.raises(UserError, match=f"checkpoint {tmp_path / name}: there is no such file"):
        read_checkpoint(tmp_path / name)


def test_a_file_that_was_read_ahead_is_not_read_again_and_not_kept(path, monkeypatch):
    torch.save({"a": torch.ones(1)}, path)
    content = read_ahead(path)
    assert read_checkpoint(path) is content  # as MMEngine does after the checks
    assert read_checkpoint(path) is not content

    monkeypatch.chdir(path.parent)
    content = read_ahead(path)
    assert read_checkpoint(path.name, map_location="meta")["a"].is_meta
    content = read_ahead(path)
    assert read_checkpoint(path.name) is content


def test_a_file_that_was_replaced_is_read_again(path):
    torch.save({"a": torch.ones(1)}, path)
    read_ahead(path)
    torch.save({"b": torch.ones(2)}, path)
    assert list(read_checkpoint(path)) == ["b"]
