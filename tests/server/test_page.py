"""The page in a browser, as wide as a desktop and as a phone, with photographs that packages carry."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser

if not os.environ.get("REQUIRE_DEMO"):
    for package in ("flask", "waitress", "mtcnn", "skimage", "insightface"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: make setup DETECT=1 INTEROP=1", allow_module_level=True)

import waitress  # noqa: E402
from arcface_gluon.datasets import photos  # noqa: E402

from arcface_gluon.recognition import Recogniser, enroll  # noqa: E402
from arcface_gluon.server import Answers, create_app  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None and os.environ.get("REQUIRE_CHROMIUM") != "1", reason="no Chromium here"),
]


def shipped(package, pattern):
    (place,) = importlib.util.find_spec(package).submodule_search_locations
    return next(Path(place).rglob(pattern))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server with a small network and two of ORL's people."""
    import mxnet as mx

    import arcface_gluon as ag

    mx.random.seed(0)
    net = ag.get_model("r18", embedding_size=16, options={"width": 0.125, "units": [1, 1, 1, 1]})
    net.initialize(ctx=mx.cpu())
    recogniser = Recogniser(net)
    folder = tmp_path_factory.mktemp("photos")
    photos.prepare(folder, people=2)
    app = create_app(Answers(recogniser, enroll(recogniser, folder).gallery, warning="a small network"))
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}/", folder
    server.close()


@pytest.mark.parametrize("width, phone", [(1200, False), (390, True)])
def test_photographs_are_compared_and_named(address, tmp_path, width, phone):
    assert CHROMIUM, "REQUIRE_CHROMIUM=1, but there is no Chromium"
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(address[0], width, 844, phone)
        assert "a small network" in browser.run("document.body.innerText")
        browser.choose("#file-a", shipped("skimage", "astronaut.png"))
        browser.choose("#file-b", shipped("insightface", "Tom_Hanks*.png"))
        browser.wait("document.querySelector('.verdict, .error')")
        text = browser.run("document.body.innerText")
        assert "° apart" in text and "No verdict: a threshold needs" in text
        crops = "[...document.querySelectorAll('.crops img')].map(image => image.naturalWidth)"
        assert browser.run(crops) == [112, 112]
        assert browser.run("document.querySelectorAll('.shown rect').length") == 2
        # The box lies on the face: in the upper half of the astronaut's photograph, in the middle.
        inside = """(() => { const image = document.querySelector('#drop-a img').getBoundingClientRect(),
            box = document.querySelector('#drop-a rect').getBoundingClientRect();
            return [(box.left + box.right) / 2 - image.left, (box.top + box.bottom) / 2 - image.top]
                .map((value, i) => value / [image.width, image.height][i]); })()"""
        x, y = browser.run(inside)
        assert 0.38 < x < 0.5 and 0.15 < y < 0.3
        browser.run("document.getElementById('mode-identify').click()")
        browser.choose("#file-a", shipped("insightface", "t1.jpg"))
        browser.wait("document.querySelectorAll('td img').length === 6")
        browser.choose("#file-a", address[1] / "s01" / "01.jpg")
        browser.wait("document.querySelector('#answer').innerText.includes('s01 0.0°')")
        (tmp_path / "text.jpg").write_text("no image")
        browser.choose("#file-a", tmp_path / "text.jpg")
        browser.wait("document.querySelector('.error')")
        assert "no JPEG, PNG or WebP" in browser.run("document.querySelector('.error').innerText")
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.run(wider) == 0
        # A status of 415 is the only thing that the console says.
        assert all("415" in str(said) for said in browser.console), browser.console
    finally:
        browser.close()
