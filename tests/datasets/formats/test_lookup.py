"""Names that Macs and other machines spell differently."""

import unicodedata

import pytest
from data_folders import SIZE, content, found, save_image, write

from vanillanet_det.datasets.formats import read_dataset
from vanillanet_det.datasets.formats.lookup import relocate

LABELME = dict(
    shapes=[dict(label="cat", points=[[5, 6], [25, 16]], shape_type="rectangle")],
    imagePath="../images/café.jpg",
    imageWidth=SIZE[0],
    imageHeight=SIZE[1],
)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_accented_letters_composed_or_not(tmp_path, forms):
    listed, saved = (unicodedata.normalize(form, "été/café.jpg") for form in forms)
    save_image(tmp_path / saved)
    write(tmp_path / "a.json", content(listed))
    assert relocate([listed], [tmp_path]).find(listed) == tmp_path / saved
    assert found(read_dataset(tmp_path))[0][0] == saved


@pytest.mark.parametrize("name", ["café.json", "a.json"])
def test_accented_letters_of_an_image_with_its_own_file(tmp_path, name):
    saved = unicodedata.normalize("NFD", "images/café.jpg")
    save_image(tmp_path / saved)
    write(tmp_path / "labels" / name, LABELME)
    assert found(read_dataset(tmp_path)) == [(saved, "cat", [5, 6, 20, 10])]
