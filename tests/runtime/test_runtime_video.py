"""Videos and cameras with `python -m vanillanet_det.runtime`."""

import json
import os

import cv2
import pytest

from vanillanet_det.runtime import Detector
from vanillanet_det.runtime.outputs import FILES


@pytest.fixture
def clip(images, tmp_path):
    """A video of 7 frames at 10 frames per second."""
    path = tmp_path / "a clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for image in (images[::2] * 2)[:7]:
        writer.write(image)
    writer.release()
    return path


def read_frames(path):
    capture = cv2.VideoCapture(str(path))
    while (frame := capture.read()[1]) is not None:
        yield frame


def assert_results(out, clip, detector):
    """Compare files with what the detector finds in each frame."""
    assert sorted(os.listdir(out)) == sorted([*FILES, clip.name])
    size = dict(width=64, height=48)
    assert json.loads((out / "images.json").read_text())["images"] == [
        dict(id=number, file_name=clip.name, frame=number, **size) for number in range(1, 8)
    ]
    expected = [
        row
        for number, found in enumerate(detector(list(read_frames(clip))), 1)
        for row in found.to_coco(number)
    ]
    assert json.loads((out / "results.json").read_text()) == expected
    assert len(expected) > 7
    header, *rows = (out / "results.csv").read_text("utf-8").splitlines()
    assert header == "file,frame,class,score,x1,y1,x2,y2"
    assert len(rows) == len(expected)
    drawn = cv2.VideoCapture(str(out / clip.name))
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), drawn.get(cv2.CAP_PROP_FPS)) == (7, 10)


def test_a_video_with_and_without_results(command, any_file, clip, tmp_path, capsys):
    detector = Detector(any_file)
    lines = [
        f"a clip.mp4 {number}: {found.summary()}"
        for number, found in enumerate(detector(list(read_frames(clip))), 1)
    ]
    assert command(any_file, clip, "--streams", 2) == 0
    assert capsys.readouterr() == ("\n".join(lines) + "\n", "")
    for _ in range(2):  # the drawing of the first run is replaced
        assert command(any_file, clip, "--out", tmp_path / "r") == 0
        *printed, last = capsys.readouterr().out.splitlines()
        assert printed == lines
        assert last.startswith("7 frames, ")
        assert last.endswith(f"{', '.join(FILES)}, a clip.mp4 in {tmp_path / 'r'}")
        assert_results(tmp_path / "r", clip, detector)


def test_a_truncated_video_keeps_its_results(command, onnx_file, images, tmp_path, capsys):
    path, out = tmp_path / "cut.avi", tmp_path / "r"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for _ in range(60):
        writer.write(images[0])
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for _ in range(2):  # a second run starts over
        assert command(onnx_file, path, "--out", out) == 1
        printed, error = capsys.readouterr()
        count = printed.count("cut.avi ")
        assert 20 < count < 40
        assert f"{count} frames, " in printed
        assert error == f"cut.avi: {count} of 60 frames could be read\n"
        results = json.loads((out / "images.json").read_text())
        assert len(results["images"]) == count
        assert results["info"] == {"incomplete": f"{count} of 60 frames could be read"}
        assert cv2.VideoCapture(str(out / "cut.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == count


def test_a_video_without_pytorch(bare, onnx_file, clip, tmp_path):
    out = tmp_path / "r"
    done = bare("-m", "vanillanet_det.runtime", onnx_file, clip, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert_results(out, clip, Detector(onnx_file))


def test_an_interrupted_video_leaves_nothing(command, onnx_file, clip, tmp_path, capsys):
    detector_run = Detector.detect
    with pytest.MonkeyPatch.context() as patch:
        calls = iter(range(2))

        def interrupt(self, images):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return detector_run(self, images)

        patch.setattr(Detector, "detect", interrupt)
        args = (onnx_file, clip, "--out", tmp_path / "r", "--batch-size", 2)
        assert command(*args) == 130
    assert "interrupted: discarded the results of a clip.mp4" in capsys.readouterr().err
    assert not os.listdir(tmp_path / "r")


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("camera:7", "r", "camera:7: there is no such camera"),
        ("broken.mp4", "r", "broken.mp4: can't be read as a video; it may be truncated"),
        ("a clip.mp4", "/proc/r", "--out /proc/r: can't be written"),
    ],
)
def test_mistakes_are_one_sentence(source, out, message, bare, onnx_file, clip, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    source = source if source.startswith("camera") else tmp_path / source
    done = bare("-m", "vanillanet_det.runtime", onnx_file, source, "--out", tmp_path / out)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1  # no message of FFmpeg
    assert not (tmp_path / out).exists()
