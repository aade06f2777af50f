"""VanillaNet in timm's registry."""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from ..models.backbones.archs import ARCHS
from .network import VanillaNetTimm
from .weights import filter_checkpoint

_PUBLISHED = "https://github.com/huawei-noah/VanillaNet/releases/download/ckpt"

default_cfgs = generate_default_cfgs(
    {
        f"vanillanet_{name}.in1k": dict(
            url=f"{_PUBLISHED}/vanillanet_{name}.pth",
            custom_load=True,
            pool_size=(10, 10) if arch.ada_pool else (7, 7),
            first_conv="stem1.0",
            classifier=("cls1.2", "cls2.0"),
            origin_url="https://github.com/huawei-noah/VanillaNet",
            paper_ids="arXiv:2305.12972",
            paper_name="VanillaNet: the Power of Minimalism in Deep Learning",
        )
        for name, arch in ARCHS.items()
    }
)


def _register(arch: str) -> None:
    name = f"vanillanet_{arch}"

    def create(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        if kwargs.get("deploy"):
            names = dict(first_conv="stem.0", classifier="cls.2")
            overlay = {**names, **(kwargs.get("pretrained_cfg_overlay") or {})}
            kwargs["pretrained_cfg_overlay"] = overlay
        return build_model_with_cfg(
            VanillaNetTimm,
            name,
            pretrained,
            feature_cfg=dict(feature_cls="getter", out_indices=(0, 1, 2, 3)),
            pretrained_filter_fn=filter_checkpoint,
            arch=arch,
            **kwargs,
        )

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"Build VanillaNet, arch {arch!r}; see `VanillaNetTimm` for the arguments."
    register_model(create)


for _arch in ARCHS:
    _register(_arch)
