"""Files crafted to run code, to change the program or to read foreign memory are refused."""

import io
import os
import pickle
import struct
import tarfile
import zipfile

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from vanillanet_det import UserError
from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.checkpoints.unpickling import load_restricted

pytestmark = pytest.mark.usefixtures("both_readers")

HEADER = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}]
RUNS = b"cposix\nsystem\n(X\x09\x00\x00\x00touch rantR."
BUFFER = b"cmmengine.logging.history_buffer\nHistoryBuffer\n"
SET = b"c__builtin__\nset\n"
NAMESPACE = b"cargparse\nNamespace\n)\x81"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def attribute(name):
    """Opcodes that get a function of HistoryBuffer, as MMEngine's checkpoints do."""
    return b"c__builtin__\ngetattr\n(" + BUFFER + text(name) + b"tR"


def with_record(path, name, change):
    """Write a checkpoint, and change one of the records of its archive."""
    torch.save({"x": torch.arange(4.0)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in records.items():
            archive.writestr(entry, change(content) if entry.endswith(name) else content)


def as_zip(path, opcodes):
    with_record(path, "data.pkl", lambda _: opcodes)


def as_legacy(path, opcodes):
    parts = [*(pickle.dumps(part, 2) for part in HEADER), opcodes, pickle.dumps([], 2)]
    path.write_bytes(b"".join(parts))


HOSTILE = {
    "call": RUNS,
    "old call": b"(S'touch ran'\nios\nsystem\n.",
    "call of a class": b"(cos\nsystem\nS'touch ran'\no.",
    "newer opcode": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\ttouch ran\x85R.",
    "new object": b"cposix\nsystem\n(" + text("touch ran") + b"t\x81.",
    "name with dots": b"cargparse\nNamespace.__init__.__globals__\n.",
    "attribute of a class": BUFFER + b"(N}" + text("mean") + text("x") + b"stb.",
    "attribute of a function": b"ctorch._utils\n_rebuild_tensor_v2\n(N}"
    + text("__defaults__")
    + b"(K\x01tstb.",
    "attribute of an allowed function": attribute("mean") + b"}" + text("a") + text("x") + b"sb.",
    "call of a method": attribute("register_statistics") + b"(" + BUFFER + b"tR.",
    "append to an object": NAMESPACE
    + b"}"
    + text("append")
    + attribute("register_statistics")
    + b"sb"
    + BUFFER
    + b"a.",
    "extend an object": NAMESPACE + b"}" + text("extend") + SET + b"sb(" + text("a") + b"e.",
    "new object of an object": NAMESPACE
    + b"}("
    + text("__new__")
    + attribute("current")
    + text("_log_history")
    + b"]("
    + text("a")
    + b"eub)\x81.",
    "source of a module": b"(" + text("module") + SET + text("a.py") + text("x") + b"tQ.",
    "persistent id": b"(" + text("storage") + text("os.system") + b"tQ.",
    "text as an id": text("storage") + b"Q.",
}


@pytest.fixture(autouse=True)
def _nothing_changes(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    HistoryBuffer()  # registers its default statistics
    before = dict(vars(HistoryBuffer)), dict(HistoryBuffer._statistics_methods)
    yield
    assert (dict(vars(HistoryBuffer)), dict(HistoryBuffer._statistics_methods)) == before
    assert torch._utils._rebuild_tensor_v2.__defaults__ == (None,)
    assert set(os.listdir()) <= {path.name}, "the file's code ran"


# Some are refused by the first opcode that no checkpoint has, others by what they would do.
@pytest.mark.parametrize("save", [as_zip, as_legacy])
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_crafted_pickle_is_refused(path, kind, save):
    save(path, HOSTILE[kind])
    with pytest.raises(UserError, match=f"checkpoint {path}: .*(refused|can't be read)"):
        read_checkpoint(path)


def test_a_state_is_set_by_the_class_not_by_what_the_file_put_into_an_object(path):
    state = text("__setstate__") + SET
    as_zip(path, BUFFER + b")\x81}" + state + b"sb" + text("abc") + b"b.")
    with pytest.raises(AttributeError, match="'str' object has no attribute 'pop'"):
        load_restricted(path)


def test_bytes_are_written_in_latin_1_only(path):
    opcodes = b"c_codecs\nencode\n(" + text("abc") + text("rot13") + b"tR."
    as_zip(path, opcodes)
    with pytest.raises(pickle.UnpicklingError, match=r"codecs\.encode \('rot13'\)"):
        load_restricted(path)
    as_zip(path, opcodes.replace(text("rot13"), text("latin1")))
    assert load_restricted(path) == b"abc"


@pytest.mark.parametrize("position", range(5))
def test_each_pickle_of_the_older_format_is_restricted(path, position):
    parts = [pickle.dumps(part, 2) for part in (*HEADER, {"a": 1}, [])]
    path.write_bytes(b"".join(parts))
    assert read_checkpoint(path) == {"a": 1}
    parts[position] = RUNS
    path.write_bytes(b"".join(parts))
    with pytest.raises(UserError, match=r"refused.*\(posix\.system\)"):
        read_checkpoint(path)


def test_a_torchscript_archive_is_refused(path):
    torch.jit.trace(nn.Linear(1, 1), torch.zeros(1, 1)).save(str(path))
    with pytest.raises(UserError, match=r"refused.*\(TorchScript archives\)"):
        read_checkpoint(path)


def test_a_tar_archive_is_refused_and_not_unpacked(path):
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(RUNS)
            archive.addfile(entry, io.BytesIO(RUNS))
    with pytest.raises(UserError, match=r"refused.*\(files .*legacy \.tar format\)"):
        read_checkpoint(path)


@pytest.mark.parametrize("size", [0, 12, 20])
def test_a_record_of_another_size_than_the_pickle_says_is_not_read(path, size):
    with_record(path, "data/0", lambda content: bytes(size))
    with pytest.raises(UserError, match="can't be read"):
        read_checkpoint(path)


def test_an_unknown_record_is_not_read(path):
    with_record(path, "data.pkl", lambda content: content.replace(text("0"), text("9")))
    with pytest.raises(UserError, match="can't be read"):
        read_checkpoint(path)


def test_a_file_that_is_open_is_read_from_its_start():
    file = io.BytesIO()
    torch.save({"x": torch.arange(4.0)}, file)
    assert load_restricted(file)["x"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_and_parameters_of_all_types_are_read(path, dtype):
    saved = dict(
        tensor=torch.tensor([[0, 1], [1, 0]]).to(dtype).T,
        parameter=nn.Parameter(torch.ones(2, dtype=dtype), requires_grad=False),
        shape=torch.Size([2, 2]),
        dtype=dtype,
    )
    torch.save(saved, path)
    found = read_checkpoint(path)
    assert found["tensor"].equal(saved["tensor"])
    assert type(found["parameter"]) is nn.Parameter
    assert (found["shape"], found["dtype"]) == (saved["shape"], dtype)
