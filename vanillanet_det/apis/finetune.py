"""Fine-tuning on data of one's own, as `tools/finetune.py` runs it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.registry import DefaultScope

from ..checks import check_config, report, stop_at_errors
from ..errors import UserError
from ..fileio import atomic_write
from ..finetune.prepare import Wishes, prepare, say
from .config import check_writable, read_config
from .finetune_report import write_finetune_report
from .options import parse_size, use_device
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
    where = Path(work_dir or f"work_dirs/{Path(data).resolve().stem}")
    # Not in `where` itself: there MMEngine writes, under the same name, what each run was told.
    path = where / "config" / "finetune.py"
    for other in compare:
        if not Path(other).is_dir():
            raise UserError(f"--compare {other}: there is no such folder")
    if not resume:
        if any(where.glob("*.pth")):
            raise UserError(
                f"--work-dir {where}: holds a training already; go on with it (--resume), or "
                "choose another folder"
            )
        size = parse_size(image_size, "image-size") if image_size else None
        template = model or "retinanet"
        if template in _TEMPLATES:
            template = str(Path(folder) / _TEMPLATES[template])
        cfg = read_config(template)
        asked = Wishes(model=model, image_size=size, **wishes)
        check_writable(where)
        with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmdet"):
            cfg = prepare(data, cfg, asked, where)
            findings = check_config(cfg, pictures=True)
        say(report(findings) or "Data, weights and config are checked: nothing is wrong")
        stop_at_errors(findings)
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write(cfg.pretty_text.encode())
        say(f"Config: {path}\nRun it again: python tools/train.py {path} --work-dir FOLDER")
    elif not path.is_file():
        raise UserError(f"--resume: there is no fine-tuning in {where}; leave --resume out")
    if not dry_run:
        go_on = shlex.join(["python", "tools/finetune.py", data, "--work-dir", str(where)])
        best = train(
            str(path),
            work_dir=str(where),
            resume="auto" if resume else None,
            amp=amp,
            go_on=f"{go_on} --resume",
        )
        write_finetune_report(path, best, where, compare)
