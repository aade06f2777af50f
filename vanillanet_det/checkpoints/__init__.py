"""Reading checkpoints safely, and comparing them with models; `loading` connects it to MMEngine."""

from .checkpoint import Checkpoint, backbone_state_dict, model_state_dict
from .fit import fit_model, fit_part
from .match import Match
from .reading import read_checkpoint
from .resume import INTERRUPTED, find_finite, find_resume

__all__ = [
    "INTERRUPTED",
    "Checkpoint",
    "Match",
    "backbone_state_dict",
    "find_finite",
    "find_resume",
    "fit_model",
    "fit_part",
    "model_state_dict",
    "read_checkpoint",
]
