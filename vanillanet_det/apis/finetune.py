"""Fine-tuning on data of one's own, as `tools/finetune.py` runs it."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.registry import DefaultScope

from ..checks import check_config, report, stop_at_errors
from ..engine.config import check_writable, read_config
from ..engine.optional import set_amp
from ..engine.options import parse_size, use_device
from ..errors import UserError
from ..fileio import atomic_write
from ..finetune.outcome import write_finetune_report
from ..finetune.prepare import Wishes, prepare, say
from ..inference import config_text
from .train import train

_TEMPLATES = {
    "retinanet": "retinanet_vanillanet11_coco.py",
    "mask-rcnn": "mask_rcnn_vanillanet11_coco.py",
    "faster-rcnn": "faster_rcnn_vanillanet11_coco.py",
}


def finetune(
    data: str,
    model: Optional[str] = None,
    image_size: Optional[str] = None,
    amp: Optional[str] = None,
    device: Optional[str] = None,
    work_dir: Optional[str] = None,
    compare: Sequence[str] = (),
    resume: bool = False,
    dry_run: bool = False,
    folder: Union[str, Path] = "configs",
    **wishes: Any,
) -> None:
    """Fine-tune a detector, check everything before, and report what it learned.

    Args:
        data: COCO JSON or folder, YOLO, Pascal VOC or LabelMe folder.
        model: `retinanet`, `mask-rcnn`, `faster-rcnn`, or the config file of another detector;
            None for that of the weights, or `retinanet`.
        image_size: Such as `640` or `480x640` (height x width); None for the pictures' own, up
            to COCO's.
        amp: Mixed precision, as for `train`.
        device: `cpu`, `cuda` or `cuda:1`; None for a GPU where there is one.
        work_dir: Folder for everything that is written; None for `work_dirs/<name of the data>`.
        compare: Folders of other trainings to draw in the report's curves.
        resume: Go on with the training in `work_dir`.
        dry_run: Check and write the config, and don't train.
        folder: Where this project's configs are.
        **wishes: Other fields of `Wishes`.

    Raises:
        UserError: Anything the user can mend: data, weights, values, folder.
    """
    use_device(device)
    source = Path(data).expanduser().resolve()
    where = Path(work_dir or f"work_dirs/{source.stem if source.is_file() else source.name}")
    # Not in `where` itself: there MMEngine writes, under the same name, what each run was told.
    path = where / "config" / "finetune.py"
    _check_compared(compare)
    size = parse_size(image_size, "image-size") if image_size else None
    lists = {name: tuple(value) for name, value in wishes.items() if isinstance(value, list)}
    asked = Wishes(model=model, image_size=size, **{**wishes, **lists})
    if resume:
        _check_resumed(path, source, asked, amp)
    else:
        with _interrupted("Nothing was trained yet: run the same command again"):
            _write_config(path, data, asked, amp, where, Path(folder))
        say(f"Config: {path}\nRun it again: python tools/train.py {path} --work-dir FOLDER")
    if dry_run:
        return
    words = ["python", "tools/finetune.py", str(data), "--work-dir", str(where), "--resume"]
    words += ["--device", device] if device else []
    words += ["--compare", *map(str, compare)] if compare else []
    go_on = shlex.join(words)
    best = train(str(path), str(where), resume="auto" if resume else None, go_on=go_on)
    with _interrupted(f"The training is complete; what is left: {go_on}"):
        write_finetune_report(path, best, where, compare)


def _check_compared(folders: Sequence[str]) -> None:
    for folder in folders:
        if not any(Path(folder).glob("*/vis_data/*.json")):
            raise UserError(
                f"--compare {folder}: there is no training's log in it; expected a work dir"
            )


def _check_resumed(path: Path, data: Path, asked: Wishes, amp: Optional[str]) -> None:
    """Refuse to go on with something else than was begun."""
    if not path.is_file():
        raise UserError(
            f"--resume: there is no fine-tuning in {path.parents[1]}; leave --resume out"
        )
    given = [f.name for f in fields(Wishes) if getattr(asked, f.name) != f.default]
    given += ["amp"] if amp else []
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UserError(f"--resume: goes on as {path} says; leave {flags} out")
    begun = (read_config(str(path)).get("finetune") or {}).get("data")
    if begun is None:
        raise UserError(
            f"--resume: {path} doesn't say what it is trained on (finetune.data); go on with "
            f"python tools/train.py {path} --work-dir {path.parents[1]} --resume"
        )
    if Path(begun).resolve() != data:
        raise UserError(f"--resume: the training in {path.parents[1]} is on {begun}, not {data}")


def _write_config(
    path: Path, data: str, asked: Wishes, amp: Optional[str], where: Path, folder: Path
) -> None:
    """Derive a config, check it, and write it only if nothing is wrong."""
    if any(where.glob("*.pth")):
        raise UserError(
            f"--work-dir {where}: holds a training already; go on with it (--resume), or choose "
            "another folder"
        )
    if (where / "annotations").exists() and not (where / "weights.txt").exists():
        raise UserError(
            f"--work-dir {where}: holds annotations already, which would be replaced; choose "
            "another folder"
        )
    template = asked.model or "retinanet"
    cfg = read_config(str(folder / _TEMPLATES[template] if template in _TEMPLATES else template))
    check_writable(where)
    try:
        with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmdet"):
            cfg = prepare(data, cfg, asked, where)
            set_amp(cfg, amp)
            findings = check_config(cfg, images=True)
        say(report(findings) or "Data, weights and config are checked: nothing is wrong")
        stop_at_errors(findings)
        path.parent.mkdir(exist_ok=True)
        text = config_text(cfg)
        with atomic_write(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise UserError(
            f"{error.filename or where}: can't be read or written ({error.strerror or error})"
        ) from error


@contextmanager
def _interrupted(how_to_go_on: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say(how_to_go_on)
        raise
