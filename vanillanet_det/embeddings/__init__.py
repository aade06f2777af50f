"""Embeddings of images: the last feature of a network, and nearest neighbours by it."""

from .compute import Embeddings, embed_images
from .files import write_embeddings
from .neighbours import Neighbours, find_neighbours
from .search import Neighbour, search

__all__ = [
    "Embeddings",
    "Neighbour",
    "Neighbours",
    "embed_images",
    "find_neighbours",
    "search",
    "write_embeddings",
]
