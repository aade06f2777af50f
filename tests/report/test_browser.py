"""The report in a real browser."""

import base64
import json
import shutil

import pytest

from vanillanet_det.report import Curves, Series, write_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
)
DRIVER = shutil.which("chromedriver")

TOO_SMALL = """
return [...document.querySelectorAll("body *")].filter(element =>
    [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()) &&
    parseFloat(getComputedStyle(element).fontSize) < 12
).map(element => element.outerHTML.slice(0, 80))
"""
# Elements outside of the window and of every scroll container.
OUTSIDE = """
return [...document.querySelectorAll("body *")].filter(element =>
    !element.closest(".scroll") && element.getBoundingClientRect().right > innerWidth
).map(element => element.outerHTML.slice(0, 80))
"""
IMAGES = "return [...document.images].map(i => [i.alt, i.complete, i.naturalWidth, i.clientWidth])"


@pytest.fixture
def open_in_browser():
    """Start headless Chromium; returns its driver."""
    if not BROWSER or not DRIVER:
        pytest.skip("no Chromium with chromedriver here: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.mark.slow
def test_the_report_is_readable_in_a_browser(
    open_in_browser, small_digits, tmp_path, make_detection
):
    truth = json.loads((small_digits / "annotations/instances_val.json").read_text())
    found = [
        make_detection(a["image_id"], 1 + (a["category_id"] + (i % 4 == 0)) % 10, a["bbox"], 0.9)
        for i, a in enumerate(truth["annotations"])
    ]
    truth["images"][0]["file_name"] = "no such file with a name that is long" + "_and_longer" * 20
    series = Series((1, 2, 3), (3.0, 2.0, 1.0))
    curves = Curves({"loss": series, "loss_cls": series}, series, series, {"coco/bbox_mAP": series})
    path = tmp_path / "bericht ü.html"
    facts = [("Checkpoint", "work_dirs/" + "a_long_name_" * 20 + "/epoch_8.pth"), ("Epochs", "8")]
    root = small_digits / "val"
    write_report(path, "Digits", truth, found, root, {"a": curves, "b": curves}, facts)

    driver = open_in_browser
    for width in (1280, 400):
        # A window can't be made as narrow as a phone.
        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=False)
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(path.as_uri())
        assert driver.execute_script("return innerWidth") == width
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert driver.execute_script(OUTSIDE) == []
        assert driver.execute_script(TOO_SMALL) == []
        images = driver.execute_script(IMAGES)
        assert len(images) == 5 + 2 * (len(truth["images"]) - 1)
        for alt, complete, natural, shown in images:
            assert alt
            assert complete
            assert natural > 0
            assert shown > 250
    dark = [dict(name="prefers-color-scheme", value="dark")]
    brightness = [_brightness(driver)]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(features=dark))
    brightness.append(_brightness(driver))
    assert brightness[0] > 200
    assert brightness[1] < 60
    assert driver.get_log("browser") == []


def _brightness(driver):
    import io

    import numpy as np
    from PIL import Image

    shot = base64.b64decode(driver.get_screenshot_as_base64())
    return np.median(np.asarray(Image.open(io.BytesIO(shot)).convert("L")))
