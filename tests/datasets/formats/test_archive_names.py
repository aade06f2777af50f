"""Names in archives: which are understood, left out and refused."""

import stat
import tarfile
import zipfile

import pytest
from archive_files import LINE, folders, make_tar, make_zip
from data_folders import found

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset


@pytest.mark.parametrize("name", ["café", "猫", "na\u0308her"])
def test_names_in_utf8_without_the_flag_as_macs_write_them(tmp_path, members, name):
    image, label = members.pop("images/a.png"), members.pop("labels/a.txt")
    stand_in = "x" * len(name.encode())
    members |= {f"images/{stand_in}.png": image, f"labels/{stand_in}.txt": label}
    path = make_zip(tmp_path / "a.zip", members)
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name.encode()))
    assert found(read_dataset(path)) == [(f"{name}.png", "cat", [15, 10, 30, 20])]


def test_names_in_the_code_page_of_dos(tmp_path, members):
    members["images/x.png"] = members.pop("images/a.png")
    members["labels/x.txt"] = members.pop("labels/a.txt")
    path = make_zip(tmp_path / "a.zip", members)
    path.write_bytes(path.read_bytes().replace(b"/x.", b"/\x82."))
    assert found(read_dataset(path)) == [("é.png", "cat", [15, 10, 30, 20])]


def test_the_folder_of_a_split_is_not_the_dataset(tmp_path, members):
    text = "filename,class,xmin,ymin,xmax,ymax\na.png,cat,1,2,3,4\n"
    only = {"a.csv": text, "a.png": members["images/a.png"]}
    assert found(read_dataset(make_zip(tmp_path / "a.zip", only, "train/")))
    with pytest.raises(UserError, match=r"data: all annotated images are for validation or test"):
        read_dataset(make_zip(tmp_path / "b.zip", only, "data/valid/"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.txt", r"\.\./evil\.txt is outside the archive's folder"),
        ("images/../../evil.txt", r"is outside the archive's folder"),
        ("..\\evil.txt", r"is outside the archive's folder"),
        ("/tmp/evil.txt", r"/tmp/evil\.txt is outside the archive's folder"),  # noqa: S108
        ("C:\\evil.txt", r"is outside the archive's folder"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_outside_the_folder(tmp_path, members, name, message, kind):
    make = {"zip": make_zip, "tar": lambda path, members: make_tar(path, members, "w")}[kind]
    inner = tmp_path / "inner"
    inner.mkdir()
    path = make(inner / f"a.{kind}", {**members, name: "evil"})
    with pytest.raises(UserError, match=message):
        read_dataset(path)
    assert folders(inner) == []
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("stem", ["2024-01-01 12:30:05", "12:30"])
def test_a_colon_in_a_name_is_no_drive(tmp_path, members, stem):
    members[f"{stem}.png"], members[f"{stem}.txt"] = members.pop("images/a.png"), LINE
    members = {**members, "data.yaml": "train: .\nnames: [cat]\n"}
    del members["labels/a.txt"]
    assert found(read_dataset(make_zip(tmp_path / "a.zip", members)))[0][0] == f"{stem}.png"


@pytest.mark.parametrize("name", [".git/link", "a/.venv/bin/python", ".link"])
def test_hidden_links_are_left_out(tmp_path, members, name):
    def change(info):
        if info.name == name:
            info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0

    source = read_dataset(make_tar(tmp_path / "a.tgz", {**members, name: ""}, change=change))
    assert len(source.train["annotations"]) == 1
    assert not list(tmp_path.rglob(name.rpartition("/")[2]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip(tmp_path, members, kind):
    path = make_zip(tmp_path / "a.zip", members)
    info = zipfile.ZipInfo("images/link.png")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match=r"images/link\.png is a link or a device"):
        read_dataset(path)
    assert folders(tmp_path) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar(tmp_path, members, kind):
    def change(info):
        if info.name == "labels/a.txt":
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

    path = make_tar(tmp_path / "a.tgz", members, change=change)
    with pytest.raises(UserError, match=r"labels/a\.txt is a link or a device"):
        read_dataset(path)
    assert folders(tmp_path) == []


def test_two_files_of_one_name(tmp_path, members):
    path = make_zip(tmp_path / "a.zip", members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("./labels/a.txt", LINE * 2)
    with pytest.raises(UserError, match=r"contains \./labels/a\.txt twice"):
        read_dataset(path)


def test_a_name_that_is_too_long_is_no_matter_of_space(tmp_path, members):
    path = make_zip(tmp_path / "a.zip", {**members, f"images/{'a' * 256}.png": b""})
    with pytest.raises(UserError, match=r"File name too long\); extract it yourself, and pass"):
        read_dataset(path)
    assert folders(tmp_path) == []
