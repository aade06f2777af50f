"""How many frames a complete video file has, according to the structure of its container.

OpenCV doesn't distinguish the end of a video from an error, and its number of frames is an estimate
for some containers: duration times frame rate in Matroska, frames that an editor cut off in MP4.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

_EBML = b"\x1aE\xdf\xa3"
_SEGMENT, _TRACKS, _CLUSTER, _GROUP = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xA0
_BLOCKS = (0xA3, 0xA1)  # SimpleBlock, and Block in a BlockGroup
_INVISIBLE = 0x08  # flag of a block
# What else a segment, its clusters and their groups contain.
_KNOWN = {
    *(0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1254C367, 0x1941A469, 0x1043A770, 0xEC, 0xBF),
    *(0xE7, 0xA7, 0xAB, 0x5854, 0xAF, 0x9B, 0xFB, 0xFA, 0xFD, 0xA4, 0x8E, 0x75A1, 0x75A2),
    *(_TRACKS, *_BLOCKS),
}
_TRACK, _TRACK_NUMBER, _TRACK_TYPE, _IS_VIDEO = 0xAE, 0xD7, 0x83, 1
_UNCUT = 0.999  # times are rounded
_DROPPED = 2  # frames that a decoder may drop at the ends of an intact video
_REORDERED = 16  # frames that a decoder of H.264 may hold back and lose at a cut
_AVI_LISTS = (b"AVI ", b"AVIX", b"movi", b"rec ")


class Structure(NamedTuple):
    """The frames of a video file.

    Attributes:
        num_frames: Number of frames in the file if it is whole; otherwise an estimate.
        is_whole: Whether the file is as long as its container says, without gaps.
        tolerance: Number of these frames that may not be read from an intact file.
    """

    num_frames: int
    is_whole: bool
    tolerance: int = _DROPPED


def read_structure(path: Path, stated: int) -> Optional[Structure]:
    """Read the structure of a Matroska, WebM, AVI, MP4 or QuickTime file.

    Args:
        path: The file.
        stated: Number of frames according to OpenCV.

    Returns:
        The structure; None for other containers.
    """
    try:
        return _read_structure(path, stated)
    except (OSError, ValueError, IndexError):  # a pipe, or a header that is damaged
        return None


def _read_structure(path: Path, stated: int) -> Optional[Structure]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] == _EBML:
            found, is_whole = _count_matroska(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"AVI ":
            found, is_whole = _count_avi(data)
        elif data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            share = _shown_share(data)
            tolerance = _DROPPED if share > _UNCUT else _REORDERED
            return Structure(round(stated * share), True, tolerance)
        else:
            return None
    return Structure(found if is_whole else max(found, stated), is_whole)


def _count_matroska(data: mmap.mmap) -> tuple[int, bool]:
    """Count the frames of the first video track up to the first error; also return if it is whole.

    Elements that contain blocks are entered and all others are skipped, so that it doesn't matter
    whether their sizes are known: live recordings don't have them.
    """
    count, video, end = 0, None, len(data)
    _, position, size = _element(data, 0)
    position += size or 0
    while position < end:
        kind, body, size = _element(data, position)
        if kind in (_SEGMENT, _CLUSTER, _GROUP):
            if kind == _SEGMENT and size is not None:
                end = body + size  # after the last byte, no element is found
            position = body
            continue
        if kind not in _KNOWN or size is None or body + size > end:
            return count, False
        if kind == _TRACKS:
            video = _video_track(data, body, body + size)
        elif kind in _BLOCKS and _number(data, body)[0] == video:
            count += not data[body + 3] & _INVISIBLE
        position = body + size
    return count, True


def _video_track(data: mmap.mmap, position: int, end: int) -> Optional[int]:
    while position < end:
        kind, body, size = _element(data, position)
        position = body + (size or 0)
        if kind == _TRACK:
            values, inside = {}, body
            while inside < position:
                key, value, length = _element(data, inside)
                inside = value + (length or 0)
                values[key] = int.from_bytes(data[value:inside], "big")
            if values.get(_TRACK_TYPE) == _IS_VIDEO:
                return values.get(_TRACK_NUMBER)
    return None


def _element(data: mmap.mmap, position: int) -> tuple[int, int, Optional[int]]:
    """Return an EBML element's ID, the position of its body, and its size; None if unknown."""
    _, after = _number(data, position)
    kind = int.from_bytes(data[position:after], "big")
    size, body = _number(data, after)
    is_unknown = size == (1 << 7 * (body - after)) - 1
    return kind, body, None if is_unknown else size


def _number(data: mmap.mmap, position: int) -> tuple[int, int]:
    """Return a number whose first byte tells its length, and the position after it."""
    first = data[position] if position < len(data) else 0
    length = 9 - first.bit_length()
    value = int.from_bytes(data[position : position + length], "big")
    return value & ((1 << 7 * length) - 1), position + length


def _count_avi(data: mmap.mmap) -> tuple[int, bool]:
    """Count the frames of the first video stream up to the first error, without empty ones."""
    count, video, position, end = 0, None, 0, 0
    while position + 8 <= len(data):
        kind, size = struct.unpack("<4sI", data[position : position + 8])
        if position >= end:  # another part of a large file, or padding
            if kind != b"RIFF":
                break
            end = position + 8 + size
        after = position + 8 + size
        if not kind.isascii() or not kind.decode().isprintable() or after > len(data):
            return count, False
        if kind in (b"RIFF", b"LIST") and data[position + 8 : position + 12] in _AVI_LISTS:
            position += 12
            continue
        if kind[2:] in (b"dc", b"db"):
            video = video or kind[:2]
            count += size > 0 and kind[:2] == video  # an empty chunk repeats the previous frame
        position = after + size % 2
    return count, True


def _shown_share(data: mmap.mmap) -> float:
    """Return the share of an MP4 file's first video track that its edit list doesn't cut off."""
    movie = _boxes(data, 0, len(data)).get(b"moov", (0, 0))
    header = _boxes(data, *movie).get(b"mvhd")
    for kind, place in _list_boxes(data, *movie):
        track = _boxes(data, *place) if kind == b"trak" else {}
        media = _boxes(data, *track.get(b"mdia", (0, 0)))
        if not header or b"tkhd" not in track or not {b"hdlr", b"mdhd"} <= set(media):
            continue
        handler = media[b"hdlr"][0] + 8
        if data[handler : handler + 4] == b"vide":
            shown = _duration(data, track[b"tkhd"][0], 8) * _scale(data, media[b"mdhd"][0])
            length = _duration(data, media[b"mdhd"][0], 4) * _scale(data, header[0])
            return min(1.0, shown / length) if shown and length else 1.0
    return 1.0


def _boxes(data: mmap.mmap, position: int, end: int) -> dict[bytes, tuple[int, int]]:
    return dict(_list_boxes(data, position, end))


def _list_boxes(
    data: mmap.mmap, position: int, end: int
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the name of each MP4 box, and begin and end of its body."""
    while position + 8 <= end:
        size, kind = struct.unpack(">I4s", data[position : position + 8])
        body = position + 8
        if size == 1:  # the size follows in 8 bytes
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        elif size == 0:
            size = end - position
        if position + size < body:
            break  # no box
        yield kind, (body, min(position + size, end))
        position += size


def _duration(data: mmap.mmap, body: int, skipped: int) -> int:
    """Return the duration in a header, `skipped` bytes after its two dates."""
    width = 8 if data[body] else 4  # of dates and durations, by the header's version
    begin = body + 4 + 2 * width + skipped
    return int.from_bytes(data[begin : begin + width], "big")


def _scale(data: mmap.mmap, body: int) -> int:
    """Return the units per second in a header, which follow its two dates."""
    begin = body + (20 if data[body] else 12)
    return int.from_bytes(data[begin : begin + 4], "big")
