"""The JSON service on loopback: rate, latency and memory under uploads, beside the same work in one process."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import cv2
import numpy as np
from arcface_gluon.datasets import orl, photos

BOUNDARY = "----arcface-gluon"
_HOSTILE = (
    (b"", 415),
    (b"hello" * 1000, 415),
    (b"\xff\xd8\xff" + bytes(5000), 422),
    (b"\x89PNG\r\n\x1a\n" + bytes(5000), 422),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\x7f\xff\xff\xff" * 2 + bytes(500), 422),
    (b"\xff\xd8\xff" + bytes(13_000_000), 413),
)


def measure(quick: bool = False) -> list[dict]:
    """Rows of rates, latencies and memory; one that says so where what the server needs is not installed."""
    missing = [name for name in ("flask", "waitress", "mtcnn") if importlib.util.find_spec(name) is None]
    if missing:
        return [{"what": f"left out: needs {', '.join(missing)} (make setup DETECT=1)", "value": None, "unit": ""}]
    import mxnet as mx

    import arcface_gluon as ag
    from arcface_gluon.models.load import export_model
    from arcface_gluon.recognition import Recogniser

    count, source = (40, 200)[not quick], orl.find_source()
    encoded = [
        cv2.imencode(".jpg", photos.photograph(source, person, 1)[0][..., ::-1])[1].tobytes() for person in range(1, 9)
    ]
    with tempfile.TemporaryDirectory() as folder:
        net = ag.get_model("mobilefacenet")
        net.initialize(ctx=mx.cpu())
        export_model(net, Path(folder) / "model")
        recogniser = Recogniser(Path(folder) / "model-symbol.json", contexts="cpu(0)")
        recogniser.faces(encoded[0])
        alone = [_timed(lambda i=i: recogniser.faces(encoded[i % 8])) for i in range(count // 2)]
        with _server(Path(folder)) as (port, process):
            _post(port, encoded[0])
            rows = []
            for clients in (1, 4, 8):
                seconds, statuses, wall = _load(port, encoded, clients, count)
                what, answered = f"/embed of 640x480, {clients} at once", len(seconds)
                rows.append(_row(f"{what}: answers/s", answered / wall, "/s", 1 / np.median(alone)))
                rows += [
                    _row(f"{what}: latency p{p}", float(np.percentile(seconds, p)), "s", float(np.percentile(alone, p)))
                    for p in (50, 95)
                ]
            _, statuses, _ = _load(port, encoded, 24, count)
            rows.append({"what": f"24 at once: of {len(statuses)} requests told to come later (503)",
                         "value": statuses.count(503), "unit": ""})  # fmt: skip
            rows += _memory(port, process, count)
            wrong = sum(_post(port, data) != status for data, status in _HOSTILE for _ in range(3))
            rows.append({"what": f"hostile uploads of {3 * len(_HOSTILE)} answered otherwise", "value": wrong,
                         "unit": ""})  # fmt: skip
            rows.append({"what": "an answer after them (200)", "value": _post(port, encoded[0]), "unit": ""})
    return rows


def _memory(port, process, count):
    """Rows of the process's memory over photographs of ever other sizes, faces in them and none."""
    random, source = np.random.default_rng(0), orl.find_source()
    picture = photos.photograph(source, 1, 1)[0]
    sizes = []
    for i in range(2 * count):
        scale = random.uniform(0.4, 1.6)
        image = cv2.resize(picture, None, fx=scale, fy=random.uniform(0.9, 1.1) * scale)
        _post(port, cv2.imencode(".jpg", image)[1].tobytes())
        if i in (count // 2, 2 * count - 1):
            sizes.append(_resident(process.pid))
    grown = (sizes[1] - sizes[0]) / 2**20
    return [
        {"what": "memory of the server", "value": sizes[1] / 2**20, "unit": "MiB"},
        {"what": f"growth over {2 * count - count // 2} photographs of other sizes", "value": grown, "unit": "MiB"},
    ]


@contextmanager
def _server(folder: Path) -> Iterator[tuple]:
    """(port, process) of a server of its own."""
    model = str(folder / "model-symbol.json")
    options = ["--model", model, "--port", "0", "--contexts", "cpu(0)"]
    command = [sys.executable, "-m", "arcface_gluon", "demo", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in process.stdout:
            if match := re.search(r"http://127.0.0.1:(\d+)/", line):
                yield int(match.group(1)), process
                break
        else:
            raise RuntimeError("the server did not start; run arcface-gluon demo to see why")
    finally:
        process.terminate()
        process.wait(30)


def _post(port, data) -> int:
    """The status of one request."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n'.encode()
    body = head + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/embed", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _load(port, encoded, clients, count):
    """(seconds of each answer, all statuses, seconds in all) of `count` requests by so many clients at once."""
    seconds, statuses, waiting, lock = [], [], list(range(count)), threading.Lock()

    def work():
        while True:
            with lock:
                if not waiting:
                    return
                number = waiting.pop()
            start = time.perf_counter()
            status = _post(port, encoded[number % len(encoded)])
            with lock:
                statuses.append(status)
                if status == 200:
                    seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, statuses, time.perf_counter() - start


def _timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _row(what, value, unit, floor):
    return {"what": what, "value": value, "unit": unit, "floor": floor, "by": "one process", "ratio": value / floor}


def _resident(process):
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
