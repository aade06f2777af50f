"""Labels in a panel, placed so that none covers another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy import ndarray

_MARKER = 7
_MARGIN = 3
_STEP = 6
_LEADER = 12


class Labels:
    """Places labels in a panel, each as near as there is room to what it names.

    The panel's limits and its place in the figure must be final. Lengths inside are pixels.

    Args:
        axes: The panel.
        points: Markers that no label may cover: positions `(N, 2)` in units of the data.
    """

    def __init__(self, axes: Axes, points: Sequence[tuple[float, float]]) -> None:
        self._axes = axes
        centres = self._pixels(points)
        self._boxes = np.concatenate([centres - _MARKER, centres + _MARKER], axis=1)
        self._leaders: list[Path] = []

    def put(self, text: str, places: Sequence[tuple[float, float]], **style: Any) -> bool:
        """Write a label on the first of some places that has room.

        Args:
            text: The label.
            places: For its centre, in units of the data; pushed inside the panel.
            style: Of the text.

        Returns:
            Whether there was room.
        """
        label, size, low, high = self._write(text, style)
        centres = np.clip(self._pixels(places), low, high)
        for centre in self._free(centres, size):
            if not self._is_crossed(centre, size):
                self._keep(label, centre, size)
                return True
        label.remove()
        return False

    def put_near(self, text: str, point: tuple[float, float], **style: Any) -> bool:
        """Write a label as near to a point as there is room, and join both if that is far.

        Args:
            text: The label.
            point: Position in units of the data.
            style: Of the text.

        Returns:
            Whether there was room anywhere in the panel.
        """
        label, size, low, high = self._write(text, style)
        start = self._axes.transData.transform(point)
        # The grid has its middle in the point, so that a label can stand exactly beside it.
        width, height = np.array(self._axes.bbox.size) // _STEP * _STEP
        grid = np.meshgrid(*(np.arange(-side, side + 1, _STEP) for side in (width, height)))
        centres = start + np.stack(grid, axis=-1).reshape(-1, 2)
        centres = self._free(centres[((centres >= low) & (centres <= high)).all(axis=1)], size)
        ends = np.clip(start, centres - size / 2, centres + size / 2)
        distances = np.hypot(*(ends - start).T)
        # Of places equally near, the one to the right at the same height reads best.
        effort = distances + 0.1 * np.abs(centres - start)[:, 1] + 2 * (centres[:, 0] < start[0])
        for index in np.argsort(effort, kind="stable"):
            leader = Path([start, ends[index]])
            far = distances[index] > _LEADER
            if self._is_crossed(centres[index], size) or (far and self._covers(leader)):
                continue
            if far:
                self._leaders.append(leader)
                line = self._axes.transData.inverted().transform(leader.vertices)
                self._axes.plot(*line.T, color="0.5", linewidth=0.7, zorder=1.5)
            self._keep(label, centres[index], size)
            return True
        label.remove()
        return False

    def _pixels(self, places: Sequence[tuple[float, float]]) -> ndarray:
        return self._axes.transData.transform(np.reshape(places, (-1, 2)))

    def _write(self, text: str, style: dict[str, Any]) -> tuple[Text, ndarray, ndarray, ndarray]:
        label = self._axes.text(1, 1, text, ha="center", va="center", **style)
        size = np.array(label.get_window_extent().size) + 2 * _MARGIN
        panel = self._axes.bbox
        return label, size, panel.min + size / 2, panel.max - size / 2

    def _free(self, centres: ndarray, size: ndarray) -> ndarray:
        low, high = (centres + side * size / 2 for side in (-1, 1))
        apart = (low[:, None] >= self._boxes[:, 2:]) | (high[:, None] <= self._boxes[:, :2])
        return centres[apart.any(axis=-1).all(axis=-1)]

    def _is_crossed(self, centre: ndarray, size: ndarray) -> bool:
        box = Bbox([centre - size / 2, centre + size / 2])
        return any(leader.intersects_bbox(box) for leader in self._leaders)

    def _covers(self, leader: Path) -> bool:
        start = leader.vertices[0]
        return any(
            leader.intersects_bbox(Bbox(box.reshape(2, 2)))
            for box in self._boxes
            # Its own marker, and any that lies on it.
            if not ((box[:2] <= start) & (start <= box[2:])).all()
        )

    def _keep(self, label: Text, centre: ndarray, size: ndarray) -> None:
        box = np.concatenate([centre - size / 2, centre + size / 2])
        self._boxes = np.vstack([self._boxes, box])
        label.set_position(self._axes.transData.inverted().transform(centre))
