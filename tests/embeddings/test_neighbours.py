"""Nearest neighbours against a plain sort of distances, in NumPy and in Milvus."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from vanillanet_det import UserError
from vanillanet_det.embeddings import Embeddings, find_neighbours
from vanillanet_det.embeddings.agreement import measure_agreement, read_classes
from vanillanet_det.embeddings.milvus import MilvusStore


@pytest.fixture
def vectors():
    """Vectors far from the origin, where the expanded square cancels."""
    return np.random.default_rng(0).normal(100, 1, (700, 16)).astype(np.float32)


def test_they_are_sorted_by_distance(vectors):
    queries = vectors[::2] + np.float32(0.01)
    found = find_neighbours(vectors, queries, 5)
    distances = np.linalg.norm(queries[:, None].astype(float) - vectors[None], axis=2)
    assert_array_equal(found.indices, np.argsort(distances, axis=1)[:, :5])
    assert_allclose(found.distances, np.sort(distances, axis=1)[:, :5], rtol=1e-9)


def test_there_may_be_fewer_than_asked_for(vectors):
    assert find_neighbours(vectors[:3], vectors[:1], 8).indices.shape == (1, 3)


def test_milvus_finds_the_same(vectors, tmp_path):
    pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    names = [f"folder/{index}.png" for index in range(len(vectors))]
    for first in (vectors[:5, :4], vectors):  # a second call replaces the first
        embeddings = Embeddings(tmp_path, names[: len(first)], {"a network": first})
        store = MilvusStore(tmp_path / "a.db", embeddings)
        queries = first[::3] + np.float32(0.01)
        found = store.search("a network", queries, 5)
        store.close()
        expected = find_neighbours(first, queries, 5)
        assert_array_equal(found.indices, expected.indices)
        assert_allclose(found.distances, expected.distances, rtol=1e-3)


def test_agreement_with_classes(tmp_path):
    # Two clusters; the last image has no class.
    vectors = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [9.0]], np.float32)
    names = tuple(f"{index}.png" for index in range(7))
    classes = {name: {int(index > 2)} for index, name in enumerate(names[:6])}
    embeddings = Embeddings(tmp_path, names, {"a": vectors, "b": vectors[[0, 3, 1, 4, 2, 5, 6]]})
    found = measure_agreement(embeddings, classes, 2)
    assert found["a"] == (1.0, pytest.approx(2 / 5), 6, 2)
    assert measure_agreement(embeddings, classes, 99)["a"].neighbours == 5
    assert found["b"].found < found["a"].found
    with pytest.raises(UserError, match="has classes of 0 of 7 images"):
        measure_agreement(embeddings, {"x.png": {1}}, 2)


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', '{"images": [{}], "annotations": 1}'])
def test_what_is_no_coco_file(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: can't be read as a COCO file"):
        read_classes(tmp_path / "a.json")
