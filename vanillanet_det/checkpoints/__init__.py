"""Checkpoints: read without running what a stranger put in, and refused if they don't fit."""

from .matching import Match, arch_in, backbone_state_dict, load_backbone, model_state_dict
from .reading import read_checkpoint
from .resume import INTERRUPTED, find_finite, find_resume

__all__ = [
    "INTERRUPTED",
    "Match",
    "arch_in",
    "backbone_state_dict",
    "find_finite",
    "find_resume",
    "load_backbone",
    "model_state_dict",
    "read_checkpoint",
]
