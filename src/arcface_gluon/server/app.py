"""The web page and the JSON service, by Flask. Nothing that is uploaded is written anywhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

import flask
from werkzeug.exceptions import HTTPException

from ..data.images.decode import image_size
from ..errors import UserError
from ..runtime import out_of_memory
from .answers import Answers, called
from .schema import openapi
from .worker import Busy, Worker

# First bytes of what is accepted: every browser shows these, and their readers are fuzzed.
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
KINDS = ("image/jpeg", "image/png", "image/webp")
_OVERHEAD = 64_000  # bytes of a form besides its files
_MOST_CANDIDATES = 20
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


def create_app(answers: Answers, hosts: tuple[str, ...] | None = ("127.0.0.1", "localhost", "::1")) -> flask.Flask:
    """The application, for any WSGI server.

    Args:
        answers: what it answers with.
        hosts: names that it may be called by, so that no page from elsewhere reaches it under a name of its own that
            leads here; None: any.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.request_class = _Request
    app.config["MAX_CONTENT_LENGTH"] = 2 * answers.limits.file_bytes + _OVERHEAD
    worker = Worker(answers.limits.waiting)
    folder, limit = Path(__file__).parent, answers.limits

    def answer(work: Callable[[dict[str, Any]], dict], *names: str) -> flask.Response:
        photos = _photographs(names, limit)
        options = {name: flask.request.args.get(name) == "1" for name in ("aligned", "crops")}
        try:
            return flask.jsonify(worker(lambda: work({**photos, **options})))
        except Busy:
            raise Refused(503, "too many requests at once; try again in a moment") from None
        except UserError as error:
            raise Refused(422, str(error)) from None

    @app.before_request
    def check() -> None:
        host = urlsplit(f"//{flask.request.host}").hostname
        if hosts is not None and host not in hosts:
            raise Refused(403, f"this server answers as {hosts[0]}, not as {host}")
        origin = flask.request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != flask.request.host:
            raise Refused(403, "requests from pages of other sites are not answered")

    @app.after_request
    def secure(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS)
        if response.status_code == 503:
            response.headers["Retry-After"] = "1"
        return response

    @app.errorhandler(Refused)
    def refused(error: Refused) -> tuple:
        return flask.jsonify({"error": error.message}), error.status

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple:
        text = f"more than {app.config['MAX_CONTENT_LENGTH']:,} bytes" if error.code == 413 else error.description
        return flask.jsonify({"error": text}), error.code

    @app.errorhandler(Exception)
    def broken(error: Exception) -> tuple:
        if out_of_memory(error):
            return flask.jsonify({"error": "the machine is out of memory; try a smaller photograph"}), 503
        app.logger.exception("a request failed")
        return flask.jsonify({"error": "the server failed on this; its log says why"}), 500

    @app.get("/")
    @app.get("/<any('page.js', 'page.css'):name>")
    def page(name: str = "") -> flask.Response:
        return flask.send_file(folder / _FILES[name])

    @app.get("/info")
    def info() -> flask.Response:
        return flask.jsonify(answers.info())

    @app.get("/openapi.json")
    def schema() -> flask.Response:
        return flask.jsonify(openapi(limit))

    @app.post("/embed")
    def embed() -> flask.Response:
        return answer(lambda given: answers.embed(given["photo"], given["aligned"], given["crops"]), "photo")

    @app.post("/compare")
    def compare() -> flask.Response:
        return answer(lambda given: answers.compare(given["a"], given["b"], given["aligned"], given["crops"]), "a", "b")

    @app.post("/identify")
    def identify() -> flask.Response:
        if answers.gallery is None:
            raise Refused(404, "there is no gallery here; start the server with --gallery")
        k = flask.request.args.get("k", "3")
        if not k.isdecimal() or not 1 <= int(k) <= _MOST_CANDIDATES:
            raise Refused(422, f"k must be a number from 1 to {_MOST_CANDIDATES}")
        return answer(lambda given: answers.identify(given["photo"], int(k), given["aligned"], given["crops"]), "photo")

    return app


def _photographs(names, limit) -> dict[str, Any]:
    """{name: bytes} of a form, or of a body that is the only photograph."""
    request, kind = flask.request, flask.request.mimetype
    if kind == "multipart/form-data":
        found = {}
        for name in names:
            if name not in request.files:
                raise Refused(422, f"the form has no file {name!r}; it takes {' and '.join(names)}")
            found[name] = request.files[name].read()
    elif kind in KINDS and len(names) == 1:
        found = {names[0]: request.get_data(cache=False)}
    else:
        bodies = f", {', '.join(KINDS)}" if len(names) == 1 else ""
        raise Refused(415, f"the body must be multipart/form-data{bodies}, not {kind or 'of no type'}")
    for name, data in found.items():
        which = called(name)
        if len(data) > limit.file_bytes:
            raise Refused(413, f"{which} has {len(data):,} bytes; {limit.file_bytes:,} are allowed")
        if not data.startswith(_STARTS) or (data[:4] == b"RIFF" and data[8:12] != b"WEBP"):
            raise Refused(415, f"{which} is no JPEG, PNG or WebP; convert it first")
        try:
            height, width = image_size(data)
        except ValueError as error:
            status = 413 if "too many" in str(error) else 422
            raise Refused(status, f"{which} cannot be used: {error}") from None
        if height * width > limit.pixels:
            raise Refused(413, f"{which} has {width} x {height} pixels; {limit.pixels:,} are allowed")
    return found
