"""CUDA graphs: all kernels of a network are launched by one call.

At a batch of one, launching a small kernel takes longer than computing it. A graph repeats the
launches that were recorded for one shape of images, with the same memory, so that the processor
has nothing left to do. Postprocessing isn't recorded: its sizes depend on what is found.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Optional

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import BaseDetector
from torch import Tensor, nn

from ..errors import UserError

MAX_SHAPES = 8  # each keeps the features of all layers in the GPU's memory
_WARM_UPS = 3  # cuDNN chooses its algorithms at first calls, which can't be recorded

Record = Callable[[nn.Module, list[Any]], tuple[Callable[[], object], Any]]
"""Function that records a module's kernels for inputs: returns what repeats them, and outputs."""


def record(module: nn.Module, inputs: list[Any]) -> tuple[Callable[[], object], Any]:
    """Record the kernels of a module as a CUDA graph.

    Args:
        module: A module in evaluation mode, on a GPU.
        inputs: Its arguments, which the graph reads each time.

    Returns:
        A function that launches the graph, and the outputs, which it writes each time.

    Raises:
        RuntimeError: The module waits for results, or allocates memory by itself.
    """
    device = next(tensors(inputs)).device
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                module(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        kernels = torch.cuda.CUDAGraph()
        with torch.cuda.graph(kernels):
            outputs = module(*inputs)
    return kernels.replay, outputs


class GraphedModule(nn.Module):
    """A module that repeats its kernels as a CUDA graph, one for each shape of its inputs.

    Its outputs are overwritten by the next call with the same shapes. Without autograd alone.

    Args:
        module: Module whose inputs and outputs are tensors, or lists and tuples of them. Its
            kernels must not depend on their values.
        before: Module whose outputs are the inputs; they are read where it writes them. Without
            it, inputs are copied to a place of the graph's own.
        record: Records the kernels.
    """

    def __init__(
        self,
        module: nn.Module,
        before: Optional["GraphedModule"] = None,
        record: Record = record,
    ) -> None:
        super().__init__()
        self.module = module
        self._follows = None if before is None else before.wrote  # no part of this module
        self._record = record
        self._graphs: dict[tuple, tuple[Callable[[], object], list[Tensor], Any]] = {}

    def forward(self, *inputs: Any) -> Any:
        """Compute the module; the first call with new shapes records its kernels."""
        given = list(tensors(inputs))
        if torch.is_grad_enabled() or (self._follows and not self._follows(given)):
            return self.module(*inputs)
        key = tuple(map(self._place, given))
        if key not in self._graphs:
            if len(self._graphs) == MAX_SHAPES:
                _warn_of_shapes()
                return self.module(*inputs)
            self._graphs[key] = self._start(inputs)
        replay, own, outputs = self._graphs[key]
        for target, source in zip(own, given):
            if target is not source:
                target.copy_(source)
        replay()
        return outputs

    def wrote(self, given: list[Tensor]) -> bool:
        """Return whether tensors are outputs of one of the graphs."""
        known = {id(output) for *_, outputs in self._graphs.values() for output in tensors(outputs)}
        return known.issuperset(map(id, given))

    def _place(self, tensor: Tensor) -> tuple:
        if self._follows:
            return (id(tensor),)
        return (tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)

    # A tensor that is made in inference mode can't be written outside of it later.
    @torch.inference_mode(False)
    @torch.no_grad()
    def _start(self, inputs: tuple) -> tuple[Callable[[], object], list[Tensor], Any]:
        kept = list(inputs) if self._follows else _copied(list(inputs))
        try:
            replay, outputs = self._record(self.module, kept)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"cuda_graph: {type(self.module).__name__} can't be recorded ({reason}); omit it"
            ) from error
        return replay, list(tensors(kept)), outputs


class GraphedHead(GraphedModule):
    """A dense head of MMDetection whose layers are a CUDA graph; its postprocessing isn't."""

    def predict(self, x: tuple[Tensor, ...], batch_data_samples: list, **options: Any) -> list:
        """Detect, as `BaseDenseHead.predict` does."""
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.module.predict_by_feat(*self(x), batch_img_metas=metas, **options)


def graph(model: nn.Module, record: Record = record) -> nn.Module:
    """Make a classifier, or a detector's backbone, neck and dense head, a CUDA graph.

    The heads of a second stage stay as they are: the number of their boxes varies. So do dense
    heads whose detection isn't MMDetection's usual one.

    Args:
        model: A network in evaluation mode on a GPU, in its final precision and layout.
        record: Records a module's kernels.

    Returns:
        The detector, changed in place, or a module that replaces the classifier.
    """
    if not isinstance(model, BaseDetector):
        return GraphedModule(model, record=record)
    last = model.backbone = GraphedModule(model.backbone, record=record)
    if getattr(model, "neck", None) is not None:
        last = model.neck = GraphedModule(model.neck, last, record)
    for name in ("bbox_head", "rpn_head"):
        head = getattr(model, name, None)
        if isinstance(head, BaseDenseHead) and type(head).predict is BaseDenseHead.predict:
            setattr(model, name, GraphedHead(head, last, record))
    return model


def tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in lists and tuples, in order."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from tensors(value)


def _copied(values: Any) -> Any:
    if isinstance(values, Tensor):
        return values.clone()
    if type(values) in (list, tuple):
        return type(values)(map(_copied, values))
    return values


def _warn_of_shapes() -> None:
    warnings.warn(
        f"cuda_graph: images had more than {MAX_SHAPES} shapes; further ones are computed without "
        "a graph. Resize or pad images to a fixed size",
        stacklevel=4,
    )
