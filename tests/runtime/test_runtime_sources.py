"""What the command lines read, and where they may draw."""

import json
import os
from pathlib import Path

import pytest

from vanillanet_det import UserError
from vanillanet_det.datasets.formats.files import FileTree
from vanillanet_det.datasets.sample_images import list_images
from vanillanet_det.runtime.outputs import write_results
from vanillanet_det.runtime.sources import ImageFiles, Video, find_work, name_drawings


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Function that creates files in the current folder; their content doesn't matter."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(str(name))

    return make


def find(given, out, **options):
    return find_work(given, Path(out), **options)


def finish(out, *names, **more):
    """Write the results of a run over these images."""
    size = dict(width=9, height=9, detections=[])
    write_results(Path(out), [dict(file=name, **size, **more) for name in names], ["cat"])


OWN = "which is part of INPUT"
FOREIGN = "has images that no earlier run drew, such as"


@pytest.mark.parametrize(
    ("files", "given", "out", "message"),
    [
        (["a.jpg"], "a.jpg", "a.jpg", f"the drawing would replace a.jpg, {OWN}; choose another"),
        (["pictures/a.jpg"], "pictures/a.jpg", ".", f"into pictures, which {FOREIGN} a.jpg"),
        (["a.jpg", "pictures/a.jpg"], ".", ".", f"into pictures, which {FOREIGN} a.jpg"),
        (["a.jpg", "pictures/b/c.jpg"], "*.jpg", ".", f"into pictures, which {FOREIGN} c.jpg"),
        (["pictures/a.jpg"], "pictures", ".", f"into pictures, which {FOREIGN} a.jpg"),
        (["clips/clip.mp4"], "clips/clip.mp4", "clips", f"replace clips/clip.mp4, {OWN}"),
        (["clip.mp4"], "clip.mp4", ".", f"the drawing would replace clip.mp4, {OWN}"),
        (["clip.mov", "clip.mp4"], "clip.mov", ".", "clip.mp4, which no earlier run drew from"),
    ],
)
def test_only_drawings_are_replaced(make, files, given, out, message):
    make(*files)
    with pytest.raises(UserError) as error:
        find(given, out)
    assert str(error.value).startswith(f"--out {out}: ")
    assert message in str(error.value)


def test_links_to_the_input_are_not_replaced(make):
    make("a.jpg", "clips/clip.mp4")
    os.link("a.jpg", "b.jpg")
    os.symlink("clips", "results")
    for given, out in (("a.jpg", "b.jpg"), ("clips/clip.mp4", "results")):
        with pytest.raises(UserError, match=OWN):
            find(given, out)


def test_drawings_of_an_earlier_run_are_ignored_and_replaced(make):
    make("a.jpg", "b.bmp")
    for _ in range(2):
        source, drawings = find(".", ".")
        assert source.names == ("a.jpg", "b.bmp")
        assert drawings == {
            "a.jpg": Path("pictures/a.jpg"),
            "b.bmp": Path("pictures/b.bmp.png"),
        }
        make(*drawings.values())
        finish(".", *drawings)
    with pytest.raises(UserError, match=r"pictures: has only drawings from an earlier run"):
        find("pictures", ".")
    with pytest.raises(UserError, match=OWN):
        find("pictures/a.jpg", ".")


def test_drawings_of_an_interrupted_run(make):
    make("a.jpg", "pictures/a.jpg", "parts/settings.json")
    for begun, may in ((dict(draw=True), True), (dict(draw=False), False), ([], False)):
        Path("parts/settings.json").write_text(json.dumps(begun))
        if may:
            assert find(".", ".")[0].names == ("a.jpg",)
        else:
            with pytest.raises(UserError, match=FOREIGN):
                find(".", ".")


def test_without_drawing_all_images_are_input(make):
    make("a.jpg", "pictures/a.jpg")
    source, drawings = find(".", ".", draw=False)
    assert (source.names, drawings) == (("a.jpg", "pictures/a.jpg"), {})
    assert find_work("pictures/a.jpg") == (ImageFiles(Path("pictures"), ("a.jpg",)), {})


def test_a_video_replaces_only_its_own_drawing(make):
    make("clip.mov", "r/clip.mp4", "r/pictures/a.jpg", "a.jpg")
    finish("r", "clip.mov", frame=1)
    source, drawings = find("clip.mov", "r")
    assert source == Video("clip.mov", "clip.mov")
    assert drawings == {"clip.mov": Path("r/clip.mp4")}
    with pytest.raises(UserError, match=FOREIGN):
        find("a.jpg", "r")  # results of a video don't cover images
    finish("r", "other.mov", frame=1)
    with pytest.raises(UserError, match=r"no earlier run drew from clip\.mov"):
        find("clip.mov", "r")
    finish("r", "clip.mov", frame=1)
    Path("r/results.csv").unlink()
    with pytest.raises(UserError, match=r"no earlier run drew from clip\.mov"):
        find("clip.mov", "r")
    finish("camera", "camera0", frame=1)
    make("camera/camera0.mp4")
    assert find("camera:0", "camera")[1] == {"camera0": Path("camera/camera0.mp4")}


def test_names_of_drawings_are_unique_and_not_too_long():
    long = "é" * 125
    names = ["a.bmp", "a.bmp.png", "b/a.bmp", f"{long}.bmp", f"{long}.tif", f"b/{long}x.png"]
    drawn = name_drawings(names)
    assert list(map(drawn.get, names[:3])) == ["a.bmp_.png", "a.bmp.png", "b/a.bmp.png"]
    assert len(set(drawn.values())) == len(names)
    assert max(len(os.fsencode(os.path.basename(name))) for name in drawn.values()) <= 255
    assert all(name.endswith(".png") for name in drawn.values())


ENDINGS = [*["jfif", "jpe", "gif", "jp2", "j2k", "avif", "mpo", "apng", "PNM", "JPG"]]


def test_one_list_of_images(make):
    images = [f"a.{ending}" for ending in ENDINGS]
    make(*images, "b.HEIC", "c/d.nef", "notes.txt", "labels.json", "e.MP4")
    for given in (".", "**/*"):
        source, _ = find(given, "r")
        assert source.names == tuple(sorted(images))
        assert (source.unsupported, source.videos) == (("b.HEIC", "c/d.nef"), ("e.MP4",))
    tree = FileTree(Path("."))
    assert tree.images() == sorted(images)
    assert [path.name for path in list_images(".", "images")] == sorted(images)


def test_a_folder_of_other_photographs_or_videos(make):
    make("a/b.heic", "c/d.mts", "e/f.txt")
    with pytest.raises(UserError, match=r"no image .* that OpenCV can read, only b\.heic; convert"):
        find("a", "r")
    with pytest.raises(UserError, match=r"no image .*; to detect in d\.mts, pass each video"):
        find("c", "r")
    with pytest.raises(UserError, match=r"ends in \.jpg, [^;]*$"):
        find("e", "r")
    for ending in ["mts", "m2ts", "wmv", "flv", "3gp", "ogv", "M4V", "ts"]:
        make(f"clip.{ending}")
        assert find(f"clip.{ending}", "r")[0] == Video(f"clip.{ending}", f"clip.{ending}")
