"""The JSON service with a painted detector: answers, limits, errors, and what a page from elsewhere gets."""

from __future__ import annotations

import http.client
import io
import json
import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image
from squares import Squares, photograph

import arcface_gluon as ag
from arcface_gluon.protocols.thresholds import calibrate
from arcface_gluon.recognition import Recogniser, Thresholds, enroll

if not os.environ.get("REQUIRE_DEMO"):
    pytest.importorskip("flask", reason="needs flask and waitress: make setup DETECT=1")
    pytest.importorskip("waitress", reason="needs flask and waitress: make setup DETECT=1")

from arcface_gluon.server import Answers, Limits, create_app  # noqa: E402
from arcface_gluon.server.serving import open_server  # noqa: E402
from arcface_gluon.server.worker import Busy, Worker  # noqa: E402

LIMITS = Limits(file_bytes=200_000, pixels=1_000_000, waiting=2)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Answers of a small network, with two people in the gallery."""
    import mxnet as mx

    folder = tmp_path_factory.mktemp("people")
    photograph(folder / "ann" / "1.png", (10, 10, 40))
    photograph(folder / "bob.png", (60, 20, 30))
    mx.random.seed(0)
    net = ag.get_model("r18", embedding_size=16, options={"width": 0.125, "units": [1, 1, 1, 1]})
    net.initialize(ctx=mx.cpu())
    recogniser = Recogniser(net, Squares())
    points = tuple(calibrate(np.linspace(0.001, 3.5, 1000), np.zeros(1000, bool)))
    measured = Thresholds(recogniser.digest, "x", "lfw", "d", 1000, 1000, None, points, "2026-11-26")
    return Answers(recogniser, enroll(recogniser, folder).gallery, (measured, measured.at(0.1)), LIMITS)


@pytest.fixture
def client(answers):
    return create_app(answers, ("localhost",)).test_client()


def encoded(*squares, sides=(90, 160), kind="PNG", **options):
    """A picture's bytes."""
    image = np.full((*sides, 3), 128, np.uint8)
    for left, top, side in squares:
        image[top : top + side, left : left + side] = (0, 255, 0)
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def form(**photos):
    return {name: (io.BytesIO(data), "x.png") for name, data in photos.items()}


def fits(value, schema):
    """Whether a value is of an OpenAPI schema, as far as this service's go."""
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    kind = schema["type"]
    if kind == "object":
        known = schema["properties"]
        return set(schema["required"]) <= set(value) <= set(known) and all(fits(value[k], known[k]) for k in value)
    if kind == "array":
        counts = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return isinstance(value, list) and counts and all(fits(one, schema["items"]) for one in value)
    kinds = {"number": (int, float), "integer": int, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[kind])


def test_answers_are_as_the_schema_says(client, answers):
    paths = client.get("/openapi.json").json["paths"]
    one, two = encoded((10, 10, 40)), encoded((60, 20, 30), (5, 5, 20), kind="JPEG", quality=95)
    asked = {
        "/embed": ("/embed", form(photo=two)),
        "/compare": ("/compare?crops=1", form(a=one, b=two)),
        "/identify": ("/identify?k=2&crops=1", form(photo=two)),
    }
    got = {}
    for path, (address, data) in asked.items():
        response = client.post(address, data=data)
        assert response.status_code == 200, response.json
        schema = paths[path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert fits(response.json, schema), response.json
        got[path] = response.json
    faces = answers.recogniser.faces(two)
    np.testing.assert_allclose(got["/embed"]["faces"][0]["embedding"], faces[0].embedding, atol=1e-6)
    assert [face["box"] for face in got["/embed"]["faces"]] == [face.box.tolist() for face in faces]
    cosine = float(faces[0].embedding @ answers.recogniser.largest(one).embedding)
    assert got["/compare"]["cosine"] == pytest.approx(cosine, abs=1e-5)
    assert got["/compare"]["threshold"]["far"] == 0.1 and got["/compare"]["same"] in (True, False)
    assert len(got["/identify"]["faces"]) == 2 and len(got["/identify"]["faces"][0]["candidates"]) == 2
    assert got["/identify"]["faces"][0]["crop"].startswith("data:image/png;base64,")


def test_a_photograph_may_be_the_body(client):
    data = encoded((10, 10, 40))
    response = client.post("/embed", data=data, content_type="image/png")
    assert len(response.json["faces"]) == 1
    crop = encoded((20, 20, 60), sides=(112, 112))
    assert client.post("/embed?aligned=1", data=crop, content_type="image/png").json["faces"][0]["score"] == 1


def test_faces_none_and_many(client):
    assert client.post("/embed", data=form(photo=encoded())).json["faces"] == []
    assert client.post("/identify", data=form(photo=encoded())).json["faces"] == []
    response = client.post("/compare", data=form(a=encoded(), b=encoded((10, 10, 40))))
    assert response.status_code == 422 and response.json == {"error": "no face was found in photograph a"}
    many = [(x, y, 8) for x in range(2, 150, 12) for y in range(2, 80, 12)]
    assert len(client.post("/embed", data=form(photo=encoded(*many))).json["faces"]) == 64


HEADER = b"IHDR\0\0\x27\x10\0\0\x27\x10\x08\x02\0\0\0"
BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\r" + HEADER + struct.pack(">I", zlib.crc32(HEADER)) + b"\0\0\0\x20IDAT" + bytes(40)


@pytest.mark.parametrize(
    "status, told, data",
    [
        (415, "no JPEG, PNG or WebP", b"hello"),
        (415, "no JPEG, PNG or WebP", b""),
        (415, "no JPEG, PNG or WebP", b"GIF89a" + bytes(100)),
        (415, "no JPEG, PNG or WebP", b"RIFF\0\0\0\0WAVEfmt "),
        (422, "the photograph cannot be used", encoded((10, 10, 40))[:60]),
        (422, "the photograph cannot be used", b"\xff\xd8\xff\xe0" + bytes(100)),
        (413, "10000 x 10000 pixels", BOMB),
        (413, "1,000,000 are allowed", encoded(sides=(1001, 1000))),
        (413, "200,000 are allowed", b"\xff\xd8\xff" + bytes(200_000)),
        (413, "more than 464,000 bytes", b"\xff\xd8\xff" + bytes(500_000)),
    ],
)
def test_bad_photographs_are_refused(client, status, told, data):
    response = client.post("/embed", data=form(photo=data))
    assert response.status_code == status and told in response.json["error"], response.json
    assert len(response.json["error"].splitlines()) == 1


def test_animations_deep_and_turned_photographs(client):
    image = Image.open(io.BytesIO(encoded((10, 10, 40))))
    file = io.BytesIO()
    image.save(file, "WEBP", save_all=True, append_images=[image.rotate(90)])
    response = client.post("/embed", data=form(photo=file.getvalue()))
    assert response.status_code == 422 and "animated" in response.json["error"]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image.transpose(Image.Transpose.ROTATE_90)
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif, quality=95)
    found = client.post("/embed", data=form(photo=file.getvalue())).json
    assert (found["height"], found["width"]) == (90, 160) and found["faces"][0]["box"] == [10, 10, 50, 50]
    file = io.BytesIO()
    image.convert("CMYK").save(file, "JPEG", quality=95)
    assert client.post("/embed", data=form(photo=file.getvalue())).status_code in (200, 422)


def test_requests_that_are_none(client, answers):
    cases = [
        (client.post("/embed", data=b"x", content_type="text/plain"), 415),
        (client.post("/compare", data=encoded(), content_type="image/png"), 415),
        (client.post("/compare", data=form(a=encoded((10, 10, 40)))), 422),
        (client.post("/identify?k=0", data=form(photo=encoded())), 422),
        (client.post("/embed", data=b"--x\r\nnothing", content_type="multipart/form-data; boundary=x"), 422),
        (client.get("/embed"), 405),
        (client.get("/../setup.py"), 404),
        (client.get("/page.html"), 404),
        (client.post("/embed", data=form(photo=encoded()), headers={"Origin": "http://evil.example"}), 403),
        (client.get("/info", headers={"Host": "evil.example"}), 403),
    ]
    for response, status in cases:
        assert response.status_code == status and set(response.json) == {"error"}, (response.status, response.data)
    bare = create_app(Answers(answers.recogniser), None).test_client()
    response = bare.post("/identify", data=form(photo=encoded()))
    assert response.status_code == 404 and "--gallery" in response.json["error"]
    compared = bare.post("/compare", data=form(a=encoded((9, 9, 40)), b=encoded((10, 10, 40)))).json
    assert compared["same"] is None and compared["threshold"] is None
    assert "arcface-gluon threshold" in bare.get("/info").json["how_to_get_a_threshold"]


def test_the_page_takes_nothing_from_elsewhere(client):
    for name in ("/", "/page.js", "/page.css"):
        response = client.get(name)
        assert response.status_code == 200
        assert "default-src 'none'; script-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
        text = response.data.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//cdn" not in text


def test_nothing_is_written(client, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "_TemporaryFileWrapper", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", None)
    large = encoded((10, 10, 40), sides=(900, 1000), kind="BMP")  # its bytes, as a form's file, pass any buffer
    assert client.post("/embed", data=form(photo=b"\xff\xd8\xff" + large[:190_000])).status_code == 422


def test_a_full_queue_is_told(client, answers, monkeypatch):
    hold, entered = threading.Event(), threading.Event()

    def slow(*arguments, **options):
        entered.set()
        hold.wait(20)
        return {"faces": []}

    monkeypatch.setattr(answers, "embed", slow)
    app = create_app(answers, ("localhost",))
    statuses, data = [], encoded((10, 10, 40))

    def ask():
        statuses.append(app.test_client().post("/embed", data=form(photo=data)).status_code)

    first = threading.Thread(target=ask)
    first.start()
    assert entered.wait(20)
    waiting = [threading.Thread(target=ask) for _ in range(6)]
    for thread in waiting:
        thread.start()
    until = 100
    while len(statuses) < 4 and until:
        threading.Event().wait(0.05)
        until -= 1
    assert statuses == [503] * 4  # one runs, two wait
    hold.set()
    for thread in (first, *waiting):
        thread.join(20)
    assert sorted(statuses) == [200] * 3 + [503] * 4


def test_a_worker_gives_errors_back_and_goes_on():
    worker = Worker(1)
    with pytest.raises(ZeroDivisionError):
        worker(lambda: 1 // 0)
    assert worker(lambda: 7) == 7
    hold = threading.Event()
    threads = [threading.Thread(target=worker, args=(hold.wait,)) for _ in range(2)]
    for thread in threads:
        thread.start()
        threading.Event().wait(0.1)
    with pytest.raises(Busy):
        worker(lambda: 8)
    hold.set()
    for thread in threads:
        thread.join()


def test_what_never_reaches_the_application_is_refused_in_json_too(answers):
    server, port = open_server(create_app(answers), "127.0.0.1", 0, LIMITS)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        for body, length, header, status in (
            (b"", 30_000_000, "", 413),
            (b"", "x", "", 400),
            (b"", 0, "y" * 300_000, 431),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            headers = {"Content-Length": str(length), "Content-Type": "image/jpeg", "X-Y": header}
            connection.request("POST", "/embed", body, headers)
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("Content-Type")) == (status, "application/json")
            assert list(json.loads(answer.read())) == ["error"]
            connection.close()
    finally:
        server.close()
        thread.join(20)
