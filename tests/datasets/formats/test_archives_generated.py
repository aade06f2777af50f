"""Archives of generated datasets come back; damaged ones are refused or are the same dataset."""

import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from generated import scenes, written
from hypothesis import given
from hypothesis import strategies as st
from test_lists_generated import write_csv

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset


def pack(folder, path):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
            archive.add(folder, "dataset")


@given(scenes(), st.sampled_from(["a.zip", "a.tgz", "a.tar"]))
def test_an_archive_is_the_dataset_in_it(scene, name):
    with TemporaryDirectory() as place, written(scene, write_csv) as folder:
        pack(folder, Path(place, name))
        packed, expected = read_dataset(Path(place, name)), read_dataset(folder)
        assert (packed.train, packed.val) == (expected.train, expected.val)


@given(
    scenes(),
    st.sampled_from(["a.zip", "a.tgz", "a.tar"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 255),
    st.booleans(),
)
def test_damaged_archives_are_refused_or_the_same(scene, name, where, byte, is_cut):
    with TemporaryDirectory() as place, written(scene, write_csv) as folder:
        path = Path(place, name)
        pack(folder, path)
        whole = path.read_bytes()
        at = int(where * len(whole))
        path.write_bytes(whole[:at] + (b"" if is_cut else bytes([byte]) + whole[at + 1 :]))
        try:
            damaged = read_dataset(path)
        except UserError:
            return
        expected = read_dataset(folder)
        if path.suffix != ".tar":  # which has no checksum of the content
            assert damaged.train["annotations"] == expected.train["annotations"]
            assert damaged.skipped == expected.skipped
