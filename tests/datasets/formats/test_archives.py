"""Archives of datasets: what is extracted, where, and what is refused."""

import os
import shutil
import stat
import tarfile
import zipfile

import pytest
from archive_files import LINE, SAFE, folders, make_tar, make_zip
from data_folders import found, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import archives, read_dataset


@pytest.mark.parametrize("prefix", ["", "export/", "./a/b/", "a\\b\\"])
def test_a_zip_is_extracted_next_to_it(tmp_path, members, prefix):
    extra = {"__MACOSX/images/._a.png": "of a Mac", ".DS_Store": "of a Mac"}
    path = make_zip(tmp_path / "cats.v1.zip", members, prefix)
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in extra.items():
            archive.writestr(name, content)

    source = read_dataset(path)

    (name,) = folders(tmp_path)
    assert name.startswith("cats.v1-extracted-")
    assert found(source) == [("a.png", "cat", [15, 10, 30, 20])]
    assert (tmp_path / name) in source.root.parents
    assert source.remarks[-1] == f"cats.v1.zip was extracted into {tmp_path / name} (3 files)."
    mode = stat.S_IMODE((source.root / "a.png").stat().st_mode)
    assert mode == stat.S_IMODE((tmp_path / "source/a.png").stat().st_mode)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.gz", "w:gz"), ("a.TAR.BZ2", "w:bz2")],
)
def test_tar_archives(tmp_path, members, name, mode):
    source = read_dataset(make_tar(tmp_path / name, members, mode))
    assert len(source.train["annotations"]) == 1
    assert folders(tmp_path)[0].startswith("a-extracted-")


def test_the_same_archive_is_extracted_once(tmp_path, members):
    path = make_zip(tmp_path / "a.zip", members)
    first = read_dataset(path)
    (first.root / "a.png").touch()
    kept = (first.root / "a.png").stat().st_mtime_ns

    second = read_dataset(path)

    assert second.root == first.root
    assert second.remarks[-1].startswith("a.zip has been extracted before; ")
    assert (first.root / "a.png").stat().st_mtime_ns == kept


def test_another_archive_of_the_same_name_has_another_folder(tmp_path, members):
    first = read_dataset(make_zip(tmp_path / "a.zip", members))
    second = read_dataset(make_zip(tmp_path / "a.zip", {**members, "labels/a.txt": LINE * 2}))
    assert len(first.train["annotations"]) == 1
    assert len(second.train["annotations"]) == 2
    assert first.root.is_dir()
    assert len(folders(tmp_path)) == 2


def test_bombs_are_refused_by_their_declared_size(tmp_path, members, monkeypatch):
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED", 1 << 20)
    bomb = {**members, "labels/b.txt": bytes(1 << 22)}
    for path in (make_zip(tmp_path / "a.zip", bomb), make_tar(tmp_path / "a.tgz", bomb)):
        with pytest.raises(UserError, match=r"more than 200 times as large when extracted"):
            read_dataset(path)
    assert folders(tmp_path) == []


def test_too_many_files_are_refused(tmp_path, members, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_FILES", 2)
    with pytest.raises(UserError, match=r"contains more than 2 files"):
        read_dataset(make_zip(tmp_path / "a.zip", members))


def test_a_file_that_is_larger_than_declared_is_refused(tmp_path, members):
    path = make_zip(tmp_path / "a.zip", {**members, "labels/b.txt": bytes(5000)})
    content = path.read_bytes()
    size = (5000).to_bytes(4, "little")
    assert content.count(size) == 2  # in the file's header and in the directory
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"a\.zip: can't be extracted \(.*CRC"):
        read_dataset(path)
    assert folders(tmp_path) == []


def test_a_header_of_a_tar_is_not_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LONGEST_READ", 1 << 16)
    long = "a" * (1 << 17)
    path = make_tar(tmp_path / "a.tgz", {long: "text"})
    with pytest.raises(UserError, match=r"can't be extracted \(the name of a file is too long\)"):
        read_dataset(path)


def test_without_space_nothing_is_written(tmp_path, members, monkeypatch):
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(
        UserError, match=r"its files need nearly all of the 0\.0 GB that are free, or more.*move"
    ):
        read_dataset(make_zip(tmp_path / "a.zip", members))
    assert folders(tmp_path) == []


def test_small_files_need_blocks(tmp_path, members, monkeypatch):
    usage = archives.shutil.disk_usage(tmp_path)
    path = make_zip(tmp_path / "a.zip", {**members, ".git/big": bytes(1 << 20)})
    for blocks, fits in ((3, False), (8, True)):
        free = usage._replace(free=blocks * 4096)
        monkeypatch.setattr(archives.shutil, "disk_usage", lambda _, free=free: free)
        if fits:
            assert read_dataset(path)
        else:
            with pytest.raises(UserError, match=r"need nearly all of the 0\.0 GB"):
                read_dataset(path)


def test_an_encrypted_zip(tmp_path, members):
    path = make_zip(tmp_path / "a.zip", members)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flags in the directory
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip: is encrypted; extract it yourself"):
        read_dataset(path)


@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.tar", "a.tar.xz"])
def test_damaged_archives(tmp_path, members, name):
    mode = {"a.tgz": "w:gz", "a.tar": "w", "a.tar.xz": "w:xz"}.get(name)
    path = tmp_path / name
    whole = (make_tar(path, members, mode) if mode else make_zip(path, members)).read_bytes()
    end = tarfile.BLOCKSIZE * 2  # of the first member
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:end]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.\w+(\.xz)?: can't be extracted \("):
            read_dataset(path)
    assert folders(tmp_path) == []


def test_an_archive_without_images_asks_for_them(tmp_path):
    path = make_zip(tmp_path / "a.zip", SAFE)
    with pytest.raises(UserError, match=r"a\.zip: has no images; export it again with the images"):
        read_dataset(path)


def test_an_archive_of_images_that_are_not_supported_says_so(tmp_path):
    path = make_zip(tmp_path / "a.zip", {**SAFE, "images/a.HEIC": b"ftypheic"})
    with pytest.raises(UserError, match=r"can't read its images, such as images/a\.HEIC; convert"):
        read_dataset(path)


def test_archives_of_other_kinds_are_refused_in_a_sentence(tmp_path):
    for name in ("a.rar", "a.7z"):
        write(tmp_path / name, "content")
        with pytest.raises(UserError, match=r"is an archive that can't be extracted; extract it"):
            read_dataset(tmp_path / name)


def test_a_folder_that_cannot_be_written(tmp_path, members, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = make_zip(tmp_path / "a.zip", members)
    monkeypatch.setattr(archives.tempfile, "mkdtemp", refuse)
    with pytest.raises(UserError, match=r"can't be extracted into .*Permission denied.*move the"):
        read_dataset(path)


def test_an_interrupted_extraction_leaves_nothing(tmp_path, members, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    path = make_zip(tmp_path / "a.zip", members)
    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_dataset(path)
    assert folders(tmp_path) == []


def test_another_process_was_faster(tmp_path, members, monkeypatch):
    path = make_zip(tmp_path / "a.zip", members)
    rename = os.rename

    def late(source, target):
        shutil.copytree(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert len(read_dataset(path).train["annotations"]) == 1
    assert len(folders(tmp_path)) == 1
