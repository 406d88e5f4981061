"""Who is there, before the first transfer and after one that failed: each writes its name where the launcher serves."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request

_PATIENCE = 5.0  # seconds for the others to notice too
_PAUSE = 0.2
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever http_proxy says


def missing(rank: int, size: int, patience: float = _PATIENCE, call: str = "rollcall") -> list[int] | None:
    """Ranks that do not answer a roll-call of those left; None where the launcher keeps no store, or is gone itself.

    horovodrun serves the store by which gloo's processes found each other (HOROVOD_GLOO_RENDEZVOUS_ADDR, _PORT).

    Args:
        patience: seconds that they have to answer.
        call: tells one roll-call from another.
    """
    address, port = (os.environ.get(f"HOROVOD_GLOO_RENDEZVOUS_{name}") for name in ("ADDR", "PORT"))
    if not address or not port:
        return None
    store = f"http://{address}:{port}/{call}"
    try:
        _request(f"{store}/{rank}", b"here")
        absent, until = set(range(size)), time.monotonic() + patience
        while absent and time.monotonic() < until:
            absent = {other for other in absent if _request(f"{store}/{other}") is None}
            time.sleep(_PAUSE if absent else 0)
    except (OSError, http.client.HTTPException):  # the launcher ends meanwhile
        return None
    return sorted(absent)


def _request(url, data=None):
    """What is kept there, or put there; None for nothing."""
    method = "GET" if data is None else "PUT"
    try:
        with _DIRECT.open(urllib.request.Request(url, data, method=method), timeout=2) as answer:
            return answer.read()
    except urllib.error.HTTPError:
        return None
