"""The application behind waitress, a WSGI server in Python."""

from __future__ import annotations

import signal
from typing import Callable

import flask
import waitress

from ..errors import UserError
from .answers import Limits


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
    most = 2 * limits.file_bytes + 1_000_000
    try:
        server = waitress.create_server(
            app,
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt, which `run` obeys
    ready(f"http://{host}:{server.effective_port}/")
    server.run()
