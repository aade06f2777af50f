"""The detection loop over images, a video or a camera, shared by all command lines."""

import contextlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from PIL import Image

from ..errors import some
from ..media import ANIMATED_IMAGES, CONVERT, has_ending
from .base_detector import BaseDetector
from .console import Progress
from .images import num_frames
from .outputs import FILES, write_image, write_results, writing
from .records import Records, Share, fingerprint
from .results import Detections, draw_detections
from .sources import ImageFiles, Video
from .video import Frames, VideoWriter, open_video

_EVERYTHING = Share()


@dataclass(frozen=True)
class Output:
    """Where to write the detections.

    Attributes:
        out: Folder for the results, or file for the drawing of a single image; None to print a
            line per image.
        drawings: File of each drawing by the name of the image or video, from `find_work`.
        print_each: Whether to print a line per image even if there is a folder.
        keep_partial: Whether to write the results of the finished images if a run over a folder
            fails.
    """

    out: Optional[Path] = None
    drawings: dict[str, Path] = field(default_factory=dict)
    print_each: bool = False
    keep_partial: bool = False

    @property
    def folder(self) -> Optional[Path]:
        """The folder for the results; None if there isn't one."""
        return None if self.out in self.drawings.values() else self.out


def predict(
    detector: BaseDetector,
    model: Union[str, Path],
    source: Union[ImageFiles, Video],
    output: Output,
    *,
    config: Union[str, Path, None] = None,
    batch_size: int = 4,
    share: Share = _EVERYTHING,
) -> int:
    """Detect objects, and print or write the results.

    If an earlier run with the same settings wrote to the folder, only the images that it didn't
    finish are processed. The last of several processes to finish writes the results.

    Args:
        detector: The detector.
        model: Its checkpoint or exported file; the content is one of the settings.
        source: Images, a video or a camera.
        output: Where to write the detections.
        config: The config file that was passed with the checkpoint; also one of the settings.
        batch_size: Maximum number of images of the same shape in a batch.
        share: The images that this process handles.

    Returns:
        Exit status: 1 if an image can't be read, or a video not to its end.

    Raises:
        UserError: A video can't be read, results can't be written, or the folder contains results
            from a run with other settings.
    """
    if isinstance(source, Video):
        return _predict_video(detector, source, output, batch_size)
    if output.folder is None:
        names = source.names[share.rank :: share.world_size]
        with Progress("img", has_bar=False) as progress:
            failed = _predict_images(detector, source, names, output, batch_size, progress)
            return _report_skipped(failed, source, progress)
    settings = dict(
        model=_fingerprint_model(model),
        config=None if config is None else fingerprint(Path(config)),
        input=str(source.root.resolve()),
        score=detector.score,
        tiles=None if detector.tiles is None else asdict(detector.tiles),
        draw=bool(output.drawings),
    )
    with Records(output.folder, source.names, settings, share) as records:
        return _predict_folder(detector, source, output, batch_size, records)


def _fingerprint_model(model: Union[str, Path]) -> str:
    path = Path(model).expanduser()
    if not path.is_file():
        return str(model)  # a URL
    # OpenVINO keeps the weights in a second file.
    files = [path, *([path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [])]
    return " ".join(map(fingerprint, files))


def _predict_folder(
    detector: BaseDetector, source: ImageFiles, output: Output, batch_size: int, records: Records
) -> int:
    done, names = records.num_finished, records.remaining
    with Progress("img", done + len(names), done, has_bar=records.share.rank == 0) as progress:
        try:
            _predict_images(detector, source, names, output, batch_size, progress, records)
        except BaseException as error:
            finished = [record for record in records.read() if "error" not in record]
            if output.keep_partial and finished:
                _write_images(detector, output, finished, progress, f" of {len(source.names)}")
            if isinstance(error, KeyboardInterrupt):
                progress.warn(
                    f"interrupted: {len(finished)} of {len(source.names)} images are finished; "
                    "run the same command to resume"
                )
            raise
        with records.lock():
            found = records.read()
            if not records.is_last_rank(found):
                return 0  # the last process to finish does the rest
            finished = [record for record in found if "error" not in record]
            _write_images(detector, output, finished, progress)
        return _report_skipped(len(found) - len(finished), source, progress)


def _predict_images(
    detector: BaseDetector,
    source: ImageFiles,
    names: Sequence[str],
    output: Output,
    batch_size: int,
    progress: Progress,
    records: Optional[Records] = None,
) -> int:
    """Detect objects in images; return the number of images that can't be read."""
    failed, animated = 0, []
    paths = ((name, source.root / name) for name in names)
    with closing(detector.stream(paths, batch_size)) as stream:
        for prepared, found in stream:
            name = prepared.source[0]
            if records is not None:
                records.begin()
            if found is None:
                failed += 1
                progress.warn(f"{prepared.error}; skipped")
                record = dict(error=prepared.error)
            else:
                if records is None or output.print_each:
                    progress.report(f"{name}: {found.summary()}")
                if output.drawings:
                    write_image(output.drawings[name], draw_detections(prepared.image, found))
                record = _record(found)
                if _is_animated(source.root / name):
                    animated.append(name)
            # A recorded image is finished: a resumed run doesn't draw it again.
            if records is not None:
                records.add(name, **record)
            progress.update()
    if animated:
        progress.warn(
            f"images with several frames, of which only the first is used: {len(animated)} "
            f"({some(animated)})"
        )
    return failed


def _is_animated(path: Path) -> bool:
    if not has_ending(path.name, ANIMATED_IMAGES):
        return False
    with contextlib.suppress(Exception), Image.open(path) as image:  # for example, if it is huge
        return num_frames(image) > 1
    return False


def _predict_video(detector: BaseDetector, video: Video, output: Output, batch_size: int) -> int:
    records: list[dict] = []
    writer = None
    folder, drawing = output.folder, output.drawings.get(video.name)
    # Camera frames don't wait for a full batch.
    size = 1 if video.is_camera else batch_size
    keep = False
    with open_video(video) as capture:
        frames = Frames(video, capture)
        if folder is not None:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        if drawing is not None:
            writer = VideoWriter(drawing, frames.rate)
        with Progress("frame", frames.stated) as progress:
            incomplete = ""
            try:
                with closing(detector.stream(frames, size)) as stream:
                    for prepared, found in stream:
                        number = prepared.source[0]
                        if folder is None or output.print_each:
                            progress.report(f"{video.name} {number}: {found.summary()}")
                        if folder is not None:
                            records.append(dict(file=video.name, frame=number, **_record(found)))
                        if writer is not None:
                            writer.add(draw_detections(prepared.image, found))
                        progress.update()
                incomplete = frames.shortfall()
                keep = True
            except KeyboardInterrupt:
                keep = video.is_camera
                if not keep:
                    progress.warn(f"interrupted: discarded the results of {video.name}")
                    raise
            finally:
                drawn = None if writer is None else writer.close(keep)
            if folder is not None:
                written = write_results(folder, records, detector.classes, incomplete)
                files = ", ".join([*FILES, *([drawn.name] if drawn else [])])
                progress.report(f"{len(records)} frames, {written} objects: {files} in {folder}")
            if incomplete:
                progress.warn(f"{video.name}: {incomplete}")
    return int(bool(incomplete))


def _record(found: Detections) -> dict[str, Any]:
    height, width = found.size
    return dict(width=width, height=height, detections=found.to_coco(0))


def _write_images(
    detector: BaseDetector,
    output: Output,
    records: list[dict],
    progress: Progress,
    of_total: str = "",
) -> None:
    count = write_results(output.folder, records, detector.classes)
    files = f"{', '.join(FILES)} in {output.folder}"
    progress.report(f"{len(records)}{of_total} images, {count} objects: {files}")


def _report_skipped(failed: int, source: ImageFiles, progress: Progress) -> int:
    """Report files that weren't processed, and return the exit status."""
    if failed:
        progress.warn(f"skipped {failed} image{'s' * (failed > 1)} that can't be read")
    for names, what, remedy in (
        (source.unsupported, "images in formats that OpenCV can't read", CONVERT),
        (source.videos, "videos in the folder", "pass each by itself"),
    ):
        if names:
            progress.warn(f"{what}, skipped: {len(names)} ({some(names)}); {remedy}")
    return int(failed > 0 or len(source.unsupported) > 0)
