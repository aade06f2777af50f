"""YOLO11-VanillaNet: importing this package registers VanillaNet in Ultralytics.

`YOLO("yolo11-vanillanet5.yaml")` then builds it, and all of Ultralytics' calls work. Ultralytics is
under the AGPL-3.0, which also applies to what is made with it.
"""

from .requirements import check_ultralytics

check_ultralytics()  # before its parts are imported

from .backbone import VanillaNet  # noqa: E402
from .registration import register  # noqa: E402
from .weights import load_backbone  # noqa: E402

register()

__all__ = ["VanillaNet", "load_backbone"]
