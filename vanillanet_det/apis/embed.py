"""Embeddings of images, used by `vanillanet-det embed`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.device import get_device

from ..embeddings import Embeddings, Neighbour, embed_images, search, write_embeddings
from ..embeddings.agreement import check_classes, measure_agreement, read_classes
from ..embeddings.extractor import Extractor, load_extractors
from ..embeddings.files import check_output, check_target
from ..embeddings.milvus import MilvusStore, check_database
from ..engine.messages import print_message
from ..engine.options import parse_device, parse_size
from ..errors import UserError, prefix_errors
from ..report.neighbours import ENDINGS, Found, Query, write_neighbours
from ..runtime.sources import ImageFiles, find_source


def embed(
    images: str,
    model: Sequence[str],
    out: str = "embeddings.npz",
    query: Sequence[str] = (),
    neighbours: int = 8,
    annotations: Optional[str] = None,
    page: str = "neighbours.html",
    store: str = "numpy",
    input_size: Optional[str] = None,
    batch_size: int = 32,
    device: Optional[str] = None,
) -> int:
    """Write the last feature of every image, and show the nearest neighbours of some.

    Args:
        images: An image, a folder or a file pattern.
        model: Networks: a checkpoint of a classifier or detector, `timm:NAME=FILE` or `timm:NAME`.
        out: File to write or replace, `.npz` or `.parquet`.
        query: Images whose neighbours are shown.
        neighbours: Number of neighbours.
        annotations: COCO file of the images: the share of neighbours with a class of the image is
            compared with chance.
        page: File of the neighbours to write or replace, `.html` or `.png`.
        store: `numpy`, or `milvus`: an embedded Milvus, a folder beside `out`, which then searches.
        input_size: Size that classifiers get images in, `224` or `480x640` (height x width); None
            for that of their evaluation.
        batch_size: Images of a batch.
        device: Device to run on; None for a GPU if available.

    Returns:
        Exit status: 1 if an image is left out.

    Raises:
        UserError: There is a mistake in an argument, a checkpoint or the images.
    """
    for flag, value in (("batch-size", batch_size), ("neighbours", neighbours)):
        if value < 1:
            raise UserError(f"--{flag} {value}: expected a positive integer")
    found = find_source(images)
    if not isinstance(found, ImageFiles):
        raise UserError(f"{images}: is a video; expected images")
    target, shown = Path(out).expanduser(), Path(page).expanduser()
    asked = [Path(each).expanduser() for each in query]
    check_target(target)
    if asked:
        check_output(shown, "page", ENDINGS)
        _check_page(shown, [*(found.root / name for name in found.names), *asked])
        if Path(images).expanduser().is_dir() and shown.suffix.lower() == ".png":
            _check_folder(shown, found.root)
    database = target.with_suffix(".db") if store == "milvus" else None
    if database is not None:
        check_database(database)
    elif store != "numpy":
        raise UserError(f"--store {store}: expected numpy or milvus")
    classes = None if annotations is None else read_classes(Path(annotations).expanduser())
    if classes is not None:
        check_classes(found.names, classes)
    where = parse_device(device or get_device())
    size = None if input_size is None else parse_size(input_size, "input-size")
    with prefix_errors("--model"):
        extractors = load_extractors(model, where, size)
    queries = _embed_queries(asked, extractors, batch_size)
    embeddings = embed_images(found.root, found.names, extractors, batch_size)
    write_embeddings(target, embeddings)
    sizes = ", ".join(f"{name} ({v.shape[1]} values)" for name, v in embeddings.vectors.items())
    print_message(f"{target}: {len(embeddings.names)} images by {sizes}")
    milvus = None if database is None else MilvusStore(database, embeddings)
    try:
        if queries is not None:
            results = search(embeddings, queries, neighbours, milvus)
            _show(shown, asked, results, len(embeddings.names))
    finally:
        if milvus is not None:
            milvus.close()
    if classes is not None:
        for name, each in measure_agreement(embeddings, classes, neighbours).items():
            print_message(
                f"{name}: of the {each.neighbours} nearest images, {each.found:.3f} have a class "
                f"of the image; by chance, {each.chance:.3f} ({each.images:,} images)"
            )
    left_out = [*embeddings.problems, *found.unsupported, *found.videos]
    if left_out:
        listed = "\n".join(f"- {each}" for each in left_out)
        print_message(f"Left out, {len(left_out)} files:\n{listed}")
    return 1 if left_out else 0


def _check_page(page: Path, images: Sequence[Path]) -> None:
    """Refuse a page that would replace an image."""
    if page.exists() and any(each.exists() and each.samefile(page) for each in images):
        raise UserError(f"--page {page}: is one of the images; choose another file")


def _check_folder(page: Path, images: Path) -> None:
    """Refuse a page that would be one of the images of the next call."""
    if images.resolve() in page.resolve().parents:
        raise UserError(f"--page {page}: lies among the images; choose another folder")


def _embed_queries(
    paths: Sequence[Path], extractors: Sequence[Extractor], batch_size: int
) -> Optional[Embeddings]:
    """Compute the embeddings of the queries; None if there are none."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"--query {path}: no such file")
    if not paths:
        return None
    with prefix_errors("--query"):
        queries = embed_images(Path(), [str(path) for path in paths], extractors, batch_size)
        if queries.problems:
            raise UserError(queries.problems[0])
    return queries


def _show(
    page: Path,
    asked: Sequence[Path],
    results: Sequence[dict[str, list[Neighbour]]],
    count: int,
) -> None:
    shown = [
        Query(
            Found(path, path.name),
            {name: [Found(n.path, n.name, n.distance) for n in near] for name, near in row.items()},
        )
        for path, row in zip(asked, results)
    ]
    facts = [("Images", f"{count:,}"), ("Distance", "Euclidean (L2)")]
    write_neighbours(page, shown, facts)
    print_message(f"Neighbours: {page}")
