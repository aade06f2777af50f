"""Packages that an installation of `.[runtime]` doesn't have."""

ABSENT = (
    *("torch", "torchvision", "mmengine", "mmcv", "mmdet", "timm", "pycocotools", "matplotlib"),
    *("tqdm", "filelock"),
)
