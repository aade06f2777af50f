"""The config stored in a checkpoint, read without executing it."""

import ast
import operator
import re
from typing import Any, NoReturn, Optional

import mmcv.ops
from mmdet.registry import DATASETS, MODELS, TASK_UTILS, TRANSFORMS
from mmengine.config import Config

from ..errors import UserError

_CONTAINERS = {"list": list, "tuple": tuple, "set": set}
_SIGNS = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_NOT_FROM_STRANGERS = {
    "CameraMotionCompensation",  # evaluates an argument as Python
    # These load a file given as an argument, even from the network.
    *("BertModel", "ATSSVLFusionHead", "RandomSamplingNegPos"),
    *("KnowledgeDistillationSingleStageDetector", "LAD"),
}
_REMEDY = "pass the config file instead, if you trust it (--config FILE, config=FILE)"


def model_config(checkpoint: Any) -> Optional[Config]:
    """Read the config that MMEngine stores in a checkpoint's `meta["cfg"]`.

    The config is Python source, which is parsed but never executed. Only assignments of
    numbers, strings, lists, tuples, sets and dicts are allowed.

    Args:
        checkpoint: Content of a checkpoint file.

    Returns:
        The config, or None if there is none. Its `custom_imports` are ignored.

    Raises:
        UserError: The source contains any other code.
    """
    meta = checkpoint.get("meta") if isinstance(checkpoint, dict) else None
    text = meta.get("cfg") if isinstance(meta, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return Config(_read(text))
    except KeyError as error:  # names that mmengine reserves
        raise UserError(f"the config in the checkpoint: {error.args[0]}; {_REMEDY}") from error
    except (SyntaxError, ValueError, ArithmeticError, TypeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"the config in the checkpoint can't be read ({type(error).__name__}: {error}); "
            f"{_REMEDY}"
        ) from error


def config_text(cfg: Config) -> str:
    """Write a config as Python source, and verify that it can be read back unchanged.

    MMEngine executes this source to read it. It writes keys unescaped and substitutes double braces
    when reading, so class names from a dataset could become code.

    Raises:
        UserError: The source wouldn't be read back as the config's values.
    """
    text = cfg.pretty_text
    braces = re.search(r".*\{\{.*", text)
    if braces:
        raise UserError(
            f"{braces[0].strip()[:100]}: has double braces, which a config can't contain; rename it"
        )
    try:
        same = _read(text) == Config(cfg._cfg_dict.to_dict())._cfg_dict.to_dict()
    except (UserError, SyntaxError, ValueError, TypeError) as error:
        raise UserError(f"the config can't be written as plain values: {error}") from error
    if not same:
        raise UserError("the config can't be written as source that can be read back unchanged")
    return text


def _read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in ast.parse(text).body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            _refuse(statement)
        *path, last = _path_of(statement.targets[0])
        owner: Any = found
        for key in path:
            owner = owner.get(key) if isinstance(owner, dict) else None
        if not isinstance(owner, dict):
            _refuse(statement)
        owner[last] = _value_of(statement.value)
    return found


def _path_of(target: ast.expr) -> list:
    """Return the keys of `name['key']['key']`, as at the end of converted checkpoints."""
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return [*_path_of(target.value), target.slice.value]
    _refuse(target)


def _value_of(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, type(None))):
        return node.value
    if isinstance(node, ast.List):
        return [_value_of(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value_of(item) for item in node.elts)
    if isinstance(node, ast.Set):
        return {_value_of(item) for item in node.elts}
    if isinstance(node, ast.Dict) and all(node.keys):
        return {_value_of(k): _value_of(v) for k, v in zip(node.keys, node.values) if k}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node, node.func.id)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_number(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _value_of(node.left), _value_of(node.right)
        texts = isinstance(left, str) and isinstance(right, str) and isinstance(node.op, ast.Add)
        if texts or (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            return _ARITHMETIC[type(node.op)](left, right)
    _refuse(node)


def _number(node: ast.expr) -> Any:
    value = _value_of(node)
    return value if isinstance(value, (int, float)) else _refuse(node)


def _call(node: ast.Call, name: str) -> Any:
    arguments = [_value_of(argument) for argument in node.args]
    if name == "dict" and len(arguments) <= 1 and all(word.arg for word in node.keywords):
        words = {str(word.arg): _value_of(word.value) for word in node.keywords}
        return {**dict(*arguments), **words}
    if name in _CONTAINERS and len(arguments) <= 1 and not node.keywords:
        return _CONTAINERS[name](*arguments)
    _refuse(node)


def _refuse(node: ast.AST) -> NoReturn:
    text = " ".join(ast.unparse(node).split())
    raise UserError(
        f"the config in the checkpoint: line {getattr(node, 'lineno', 0)}, "
        f"{text[:60]}{'...' if len(text) > 60 else ''}, is not a plain value, and code in "
        f"a checkpoint is never run; {_REMEDY}"
    )


def check_types(node: Any) -> None:
    """Raise an error if a checkpoint's config would do more than build known modules.

    MMEngine accepts any importable object as a `type`, and calls it with the other entries as
    arguments.

    Args:
        node: A model, a pipeline or a dataset of the config.

    Raises:
        UserError: A `type` isn't registered with MMDetection, or an entry refers to a Python file.
    """
    # mmcv evaluates the type of an NMS as Python, and looks up RoI layers in this module.
    known = {name for name in dir(mmcv.ops) if not name.startswith("_")}
    for registry in (MODELS, TASK_UTILS, DATASETS, TRANSFORMS):
        registry.import_from_location()
        while registry is not None:
            known.update(registry.module_dict)
            registry = registry.parent
    known -= _NOT_FROM_STRANGERS
    _check_types(node, known)


def _check_types(node: Any, known: set[str]) -> None:
    if isinstance(node, dict):
        strange = next((key for key in node if not str(key).isidentifier()), None)
        if strange is not None:
            raise UserError(
                f"the config in the checkpoint: {strange!r} is not an argument name; {_REMEDY}"
            )
        kind = node.get("type")
        if kind is not None:
            scope, _, name = str(kind).rpartition(".")
            if name not in known or scope not in ("", "mmdet", "mmcv", "mmengine"):
                raise UserError(
                    f"the config in the checkpoint: type {str(kind)!r} is neither MMDetection's "
                    f"nor this project's; {_REMEDY}"
                )
        node = node.values()
    if isinstance(node, str):
        if node.endswith(".py"):
            raise UserError(
                f"the config in the checkpoint: refers to a Python file, {node}; {_REMEDY}"
            )
    elif not isinstance(node, (int, float, type(None))):
        for value in node:
            _check_types(value, known)
