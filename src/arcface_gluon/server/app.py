"""The web page and the JSON service, by Flask. Nothing that is uploaded is written anywhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

import flask
from werkzeug.exceptions import HTTPException

from ..data.images.decode import image_size
from ..errors import UserError
from ..runtime import out_of_memory
from .answers import Answers, called
from .schema import KINDS, MOST_CANDIDATES, openapi
from .worker import Busy, Worker

LOCAL = ("127.0.0.1", "localhost", "::1")  # names of this machine for itself
# First bytes of what is accepted: every browser shows these, and their readers are fuzzed.
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
_OVERHEAD = 64_000  # bytes of a form besides its files
_FILES = {"": "page.html", "page.js": "page.js", "page.css": "page.css"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _Request(flask.Request):
    """Uploads stay in memory, where Werkzeug would put larger ones into files."""

    max_form_parts = 8
    max_form_memory_size = 500_000  # of fields that are no files

    def _get_file_stream(self, total_content_length, content_type, filename=None, content_length=None):
        return io.BytesIO()


class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP. message: one line.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


def create_app(answers: Answers, hosts: tuple[str, ...] | None = LOCAL) -> flask.Flask:
    """The application, for any WSGI server.

    Args:
        answers: what it answers with.
        hosts: names that it may be called by, so that no page from elsewhere reaches it under a name of its own that
            leads here; None: any.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.request_class = _Request
    app.config["MAX_CONTENT_LENGTH"] = 2 * answers.limits.file_bytes + _OVERHEAD
    app.before_request(lambda: _refuse_strangers(hosts))
    app.after_request(_secured)
    app.register_error_handler(Refused, lambda error: _error(error.status, error.message))
    app.register_error_handler(HTTPException, _failed)
    app.register_error_handler(Exception, _broken)
    _add_pages(app, answers)
    _add_answers(app, answers)
    return app


def _add_pages(app, answers):
    """What a GET request gets."""
    folder = Path(__file__).parent

    @app.get("/")
    @app.get("/<any('page.js', 'page.css'):name>")
    def page(name: str = "") -> flask.Response:
        return flask.send_file(folder / _FILES[name])

    @app.get("/info")
    def info() -> flask.Response:
        return flask.jsonify(answers.info())

    @app.get("/openapi.json")
    def schema() -> flask.Response:
        return flask.jsonify(openapi(answers.limits))


def _add_answers(app, answers):
    """What photographs get, one request after the other."""
    worker = Worker(answers.limits.waiting)

    def answer(work: Callable[..., dict], *names: str, **more: int) -> flask.Response:
        photos = _photographs(names, answers.limits)
        options = {name: flask.request.args.get(name) == "1" for name in ("aligned", "crops")}
        try:
            return flask.jsonify(worker(lambda: work(*photos, **more, **options)))
        except Busy:
            raise Refused(503, "too many requests at once; try again in a moment") from None
        except UserError as error:
            raise Refused(422, str(error)) from None

    @app.post("/embed")
    def embed() -> flask.Response:
        return answer(answers.embed, "photo")

    @app.post("/compare")
    def compare() -> flask.Response:
        return answer(answers.compare, "a", "b")

    @app.post("/identify")
    def identify() -> flask.Response:
        if answers.gallery is None:
            raise Refused(404, "there is no gallery here; start the server with --gallery")
        k = flask.request.args.get("k", "3")
        if not k.isdecimal() or not 1 <= int(k) <= MOST_CANDIDATES:
            raise Refused(422, f"k must be a number from 1 to {MOST_CANDIDATES}")
        return answer(answers.identify, "photo", k=int(k))


def _refuse_strangers(hosts):
    """Refuse what comes under another name than `hosts`, or from another site's page."""
    host = urlsplit(f"//{flask.request.host}").hostname
    if hosts is not None and host not in hosts:
        raise Refused(403, f"this server answers as {hosts[0]}, not as {host}")
    origin = flask.request.headers.get("Origin")
    if origin and urlsplit(origin).netloc != flask.request.host:
        raise Refused(403, "requests from pages of other sites are not answered")


def _secured(response):
    response.headers.update(_HEADERS)
    if response.status_code == 503:
        response.headers["Retry-After"] = "1"
    return response


def _error(status, text):
    return flask.jsonify({"error": text}), status


def _failed(error):
    most = flask.current_app.config["MAX_CONTENT_LENGTH"]
    return _error(error.code, f"more than {most:,} bytes" if error.code == 413 else error.description)


def _broken(error):
    if out_of_memory(error):
        return _error(503, "the machine is out of memory; try a smaller photograph")
    flask.current_app.logger.exception("a request failed")
    return _error(500, "the server failed on this; its log says why")


def _photographs(names, limits) -> list[bytes]:
    """Those of a form, or the only one, which is the body."""
    request, kind = flask.request, flask.request.mimetype
    if kind == "multipart/form-data":
        missing = next((name for name in names if name not in request.files), None)
        if missing:
            raise Refused(422, f"the form has no file {missing!r}; it takes {' and '.join(names)}")
        photos = [request.files[name].read() for name in names]
    elif kind in KINDS and len(names) == 1:
        photos = [request.get_data(cache=False)]
    else:
        bodies = f", {', '.join(KINDS)}" if len(names) == 1 else ""
        raise Refused(415, f"the body must be multipart/form-data{bodies}, not {kind or 'of no type'}")
    for name, data in zip(names, photos):
        _check(called(name), data, limits)
    return photos


def _check(which, data, limits):
    """Refuse a photograph by its bytes, before it is decoded."""
    if len(data) > limits.file_bytes:
        raise Refused(413, f"{which} has {len(data):,} bytes; {limits.file_bytes:,} are allowed")
    if not data.startswith(_STARTS) or (data[:4] == b"RIFF" and data[8:12] != b"WEBP"):
        raise Refused(415, f"{which} is no JPEG, PNG or WebP; convert it first")
    try:
        height, width = image_size(data)
    except ValueError as error:
        status = 413 if "too many" in str(error) else 422
        raise Refused(status, f"{which} cannot be used: {error}") from None
    if height * width > limits.pixels:
        raise Refused(413, f"{which} has {width} x {height} pixels; {limits.pixels:,} are allowed")
