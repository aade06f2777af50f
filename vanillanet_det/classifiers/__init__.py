"""Classifiers for timm: importing this package registers them, without MMEngine or MMDetection.

`timm.create_model("vanillanet_5")` and the like, for each arch in `models/backbones/archs.py`, and
`timm.create_model("gresnet50")`.
"""

from . import vanillanet  # noqa: F401
from .gresnet import GResNetTimm
from .network import VanillaNetTimm

__all__ = ["GResNetTimm", "VanillaNetTimm"]
