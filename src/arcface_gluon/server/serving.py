"""The application behind waitress, a WSGI server in Python."""

from __future__ import annotations

import json
import signal
from typing import Any, Callable

import flask
import waitress
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask

from ..errors import UserError
from .answers import Limits


class _Refusal(ErrorTask):
    """waitress's own answers, to what never reaches the application, in JSON like all others."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps({"error": f"{error.reason}: {error.body}"}).encode() + b"\n"
        answer = f"{error.code} {error.reason}", [("Content-Type", "application/json")], body
        error.to_response = lambda ident=None: answer
        super().execute()


class _Channel(HTTPChannel):
    error_task_class = _Refusal


def serve(app: flask.Flask, host: str, port: int, limits: Limits, ready: Callable[[str], None]) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Args:
        app: of `create_app`.
        host, port: where; port 0: any that is free.
        limits: what is accepted.
        ready: called with the address once it is open.

    Raises:
        UserError: the address cannot be opened.
    """
    server, port = open_server(app, host, port, limits)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt, which `run` obeys
    ready(f"http://{host}:{port}/")
    server.run()


def open_server(app: flask.Flask, host: str, port: int, limits: Limits) -> tuple[Any, int]:
    """(waitress's server, which `run()` starts and `close()` ends, its port); see `serve`."""
    most = 2 * limits.file_bytes + 1_000_000
    sockets: dict[int, Any] = {}
    try:
        server = waitress.create_server(
            app,
            map=sockets,
            host=host,
            port=port,
            threads=2 * limits.waiting,  # more than may wait, so that the others are told so
            connection_limit=100,
            channel_timeout=30,
            max_request_body_size=most,
            inbuf_overflow=most,  # kept in memory, where it would go to a file
            outbuf_overflow=1 << 26,
            ident=None,
        )
    except OSError as error:
        raise UserError(f"cannot open {host}:{port} ({error.strerror}); choose another --port") from None
    listening = [one for one in sockets.values() if isinstance(one, BaseWSGIServer)]  # several of a name with several
    for one in listening:
        one.channel_class = _Channel
    return server, listening[0].effective_port
