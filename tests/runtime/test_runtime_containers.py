"""Videos that can't be read to their end, and intact ones whose header states too many frames."""

import struct

import cv2
import numpy as np
import pytest

from vanillanet_det import UserError
from vanillanet_det.runtime.containers import read_structure
from vanillanet_det.runtime.sources import Video
from vanillanet_det.runtime.video import Frames, open_video

NUM_FRAMES = 40
CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".webm": "VP80"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The bytes of an intact video of noise for each container."""
    random, contents = np.random.RandomState(0), {}
    frames = random.randint(0, 256, (NUM_FRAMES, 48, 64, 3), np.uint8)
    for suffix, codec in CODECS.items():
        path = tmp_path_factory.mktemp("clips") / f"clip{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
        for frame in frames:
            writer.write(frame)
        writer.release()
        contents[suffix] = path.read_bytes()
    return contents


@pytest.fixture
def read(tmp_path):
    """Function that reads a video; returns the stated and the read frames, and what is missing."""

    def read(suffix, content):
        path = tmp_path / f"clip{suffix}"
        path.write_bytes(content)
        video = Video(path.name, str(path))
        with open_video(video) as capture:
            frames = Frames(video, capture)
            count = sum(1 for _ in frames)
            return frames.stated, count, frames.shortfall()

    return read


def after(content, name):
    """Return the position after a name that occurs once."""
    assert content.count(name) == 1
    return content.index(name) + len(name)


@pytest.mark.parametrize("suffix", CODECS)
def test_intact_videos(suffix, clips, read):
    assert read(suffix, clips[suffix]) == (NUM_FRAMES, NUM_FRAMES, "")


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm"])
@pytest.mark.parametrize("missing", ["absent", "zeros"])
def test_the_second_half_is_missing(suffix, missing, clips, read):
    content = clips[suffix]
    half = content[: len(content) // 2]
    content = half if missing == "absent" else half + bytes(len(content) - len(half))
    stated, count, shortfall = read(suffix, content)
    assert stated == NUM_FRAMES
    assert 0 < count < NUM_FRAMES - 5
    assert shortfall == f"{count} of {NUM_FRAMES} frames could be read"


@pytest.mark.parametrize("suffix", CODECS)
def test_a_hole_in_the_middle(suffix, clips, read):
    content = clips[suffix]
    begin, end = len(content) // 3, len(content) // 2
    _, count, shortfall = read(suffix, content[:begin] + bytes(end - begin) + content[end:])
    assert 0 < count < NUM_FRAMES - 3
    assert shortfall == f"{count} of {NUM_FRAMES} frames could be read"


def test_a_matroska_file_whose_sound_is_longer_is_whole(clips, read):
    content = clips[".mkv"]
    position = after(content, b"\x44\x89\x88")  # Duration, a float of 8 bytes
    (duration,) = struct.unpack(">d", content[position : position + 8])
    assert duration == 4000
    doubled = content[:position] + struct.pack(">d", 8000) + content[position + 8 :]
    assert read(".mkv", doubled) == (2 * NUM_FRAMES, NUM_FRAMES, "")
    assert read(".mkv", doubled[:-2000])[2].endswith(f"of {2 * NUM_FRAMES} frames could be read")


def test_an_avi_file_whose_header_counts_dropped_frames_is_whole(clips, read):
    content = bytearray(clips[".avi"])
    for name, offset in ((b"avih", 4 + 16), (b"strh", 4 + 32)):
        position = after(content, name) + offset
        assert struct.unpack_from("<I", content, position) == (NUM_FRAMES,)
        struct.pack_into("<I", content, position, 2 * NUM_FRAMES)
    assert read(".avi", content) == (2 * NUM_FRAMES, NUM_FRAMES, "")


def test_an_mp4_file_that_was_trimmed_without_encoding_is_whole(clips, read, tmp_path):
    content = bytearray(clips[".mp4"])
    tkhd, mdhd, elst = (after(content, name) for name in (b"tkhd", b"mdhd", b"elst"))
    (scale,) = struct.unpack_from(">I", content, mdhd + 12)
    for position in (tkhd + 20, elst + 8):  # shown for 1 of 4 seconds, in milliseconds
        assert struct.unpack_from(">I", content, position) == (4000,)
        struct.pack_into(">I", content, position, 1000)
    struct.pack_into(">I", content, elst + 12, 3 * scale)  # from the third second
    stated, count, shortfall = read(".mp4", content)
    assert (stated, shortfall) == (NUM_FRAMES, "")
    assert 5 < count < 15
    # H.264 loses more frames at a cut; OpenCV may not be able to write it.
    assert read_structure(tmp_path / "clip.mp4", NUM_FRAMES) == (10, True, 16)


def test_a_live_recording_has_no_stated_end(clips, read):
    content = bytearray(clips[".mkv"])
    position = after(content, b"\x18\x53\x80\x67")
    content[position : position + 8] = b"\x01" + b"\xff" * 7
    position = after(content, b"\x44\x89\x88")
    content[position - 3 : position + 8] = b"\xec\x89" + bytes(9)  # Void instead of Duration
    assert read(".mkv", content) == (None, NUM_FRAMES, "")
    stated, count, shortfall = read(".mkv", content[: len(content) // 2])
    assert stated is None
    assert shortfall == f"{count} frames could be read, but the file is damaged or cut short"


def test_a_video_without_a_frame_is_refused(clips, read):
    content = clips[".avi"]
    begin = content.index(b"movi") + 4
    with pytest.raises(UserError, match=r"clip\.avi: none of its frames can be read; copy"):
        read(".avi", content[:begin] + bytes(len(content) - begin))


def test_the_end_of_a_camera_is_an_error():
    class Camera:
        frames = 3

        def get(self, _):
            return -1.0

        def read(self):
            self.frames -= 1
            return (True, np.zeros((2, 2, 3), np.uint8)) if self.frames >= 0 else (False, None)

    frames = Frames(Video("camera0", 0), Camera())
    assert [number for number, _ in frames] == [1, 2, 3]
    assert (frames.stated, frames.shortfall()) == (None, "the camera stopped after 3 frames")


@pytest.mark.parametrize("suffix", CODECS)
def test_damaged_structures_are_no_error(suffix, clips, tmp_path):
    content, path = clips[suffix], tmp_path / "damaged"
    random, whole = np.random.RandomState(0), 0
    for _ in range(60):
        damaged = bytearray(content[: random.randint(13, len(content))])
        for position in random.choice([random.randint(0, 999), -random.randint(1, 999)], 5):
            damaged[position % len(damaged)] = random.randint(256)
        path.write_bytes(damaged)
        structure = read_structure(path, NUM_FRAMES)
        whole += structure is not None and structure.is_whole
        assert structure is None or 0 <= structure.num_frames <= NUM_FRAMES
    assert whole < 9 or suffix in (".mp4", ".mov")  # whose frames are all counted in the header


def test_other_containers_are_compared_by_their_duration(tmp_path):
    class Capture:
        def __init__(self, count, latest):
            self.count, self.values = count, {0: latest, 5: 10.0, 7: 40.0}

        def get(self, key):
            return self.values[key]

        def read(self):
            self.count -= 1
            return (True, np.zeros((2, 2, 3), np.uint8)) if self.count >= 0 else (False, None)

    path = tmp_path / "a.flv"
    path.write_bytes(b"FLV\x01" + bytes(99))
    for latest, expected in ((1900.0, "20 of 40 frames could be read"), (3900.0, "")):
        frames = Frames(Video("a.flv", str(path)), Capture(20, latest))
        assert len(list(frames)) == 20
        assert frames.shortfall() == expected
