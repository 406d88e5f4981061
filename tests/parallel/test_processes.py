"""What processes tell each other, with threads in their places; and who answers when a transfer has failed."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import mxnet as mx
import numpy as np
import pytest
from ranks import in_ranks

from arcface_gluon.errors import UserError
from arcface_gluon.parallel.processes import HorovodProcesses, LostProcess, Processes, _await_all, loss_told
from arcface_gluon.parallel.rollcall import missing


def test_texts_of_any_length_come_in_the_order_of_the_ranks():
    given = ["", "naïve → text", "x" * 3000]
    assert in_ranks(3, lambda p: p.texts(given[p.rank], "words")) == [given] * 3
    assert Processes().texts("alone", "words") == ["alone"]


def test_largest_sum_and_agreement():
    assert in_ranks(2, lambda p: (p.any(p.rank), p.total(p.rank + 0.5))) == [(1, 2.0)] * 2
    assert in_ranks(2, lambda p: p.must_agree("a", "recipe")) == [None, None]
    found = in_ranks(3, lambda p: p.must_agree("ab"[p.rank == 2], "recipe"))
    assert all("process 2 on host2 has another recipe than process 0" in str(error) for error in found)


def test_a_failure_of_one_is_raised_on_all_and_a_fault_where_it_happened():
    found = in_ranks(2, lambda p: p.must_succeed(UserError("no space") if p.rank else None, "save"))
    assert [str(error) for error in found] == ["process 1 on host1: no space"] * 2
    found = in_ranks(2, lambda p: p.must_succeed(KeyError("bug") if p.rank else None, "save"))
    assert isinstance(found[0], UserError) and isinstance(found[1], KeyError)
    with pytest.raises(UserError, match="^alone$"):
        Processes().must_succeed(UserError("alone"), "save")


class Store(BaseHTTPRequestHandler):
    """The launcher's store: what horovodrun serves."""

    kept: dict = {}

    def do_PUT(self):
        self.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        value = self.kept.get(self.path)
        self.send_response(404 if value is None else 200)
        self.end_headers()
        self.wfile.write(value or b"")

    def log_message(self, *arguments):
        pass


def test_those_that_do_not_answer_the_roll_call(monkeypatch):
    assert missing(0, 2) is None  # no launcher
    server = HTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", str(server.server_port))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # it is not asked
    assert missing(0, 3, patience=0.3) == [1, 2]
    assert missing(1, 3, patience=0.3) == [2]
    assert missing(2, 3, patience=5) == []
    monkeypatch.setenv("HOROVOD_RANK", "1")
    monkeypatch.setenv("HOROVOD_SIZE", "3")
    monkeypatch.setenv("HOROVOD_GLOO_TIMEOUT_SECONDS", "0.3")
    assert missing(0, 3, patience=0.3, call="start") == [1, 2]
    with pytest.raises(LostProcess, match="^process 2 ended, or stopped, before the run began"):
        _await_all()
    assert missing(2, 3, call="start") == []
    _await_all()
    server.shutdown()
    server.server_close()
    assert missing(0, 3, patience=0.3) is None


def test_a_launcher_that_ends_while_it_answers_tells_nobody(monkeypatch):
    class Ending(Store):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"he")

    server = HTTPServer(("127.0.0.1", 0), Ending)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", str(server.server_port))
    assert missing(0, 2, patience=0.3) is None
    server.shutdown()
    server.server_close()


class Gone(Processes):
    def lost(self):
        return "process 1 on b ended, or did not answer for 8 s"


def test_a_transfer_that_fails_says_who_was_lost_and_when():
    told = pytest.raises(LostProcess, match="^process 1 on b ended.* for 8 s, in iteration 3$")
    with told as raised, loss_told(Gone(), lambda: "in iteration 3"):
        raise mx.MXNetError("[/src/gloo/transport/tcp/pair.cc:598] Connection closed by peer [10.0.0.2]:5")
    assert raised.value.status == 75
    for processes, text in ((Gone(), "Shape inconsistent"), (Processes(), "Connection closed by peer")):
        with pytest.raises(mx.MXNetError), loss_told(processes, lambda: "in iteration 3"):
            raise mx.MXNetError(text)


class Array:
    """What a transfer looks at in an NDArray, on a device that is not here."""

    size, dtype = 6, np.float32

    def __init__(self, device):
        self.context, self.copied = mx.Context(device), []

    def as_in_context(self, context):
        return self if context == self.context else Array(context)

    def copyto(self, other):
        other.copied.append(self)

    def wait_to_read(self):
        pass


class Transfers:
    """Horovod, which notes where the arrays that it is given lie."""

    def __init__(self, nccl):
        self.devices, self.nccl_built = [], lambda: nccl

    def allgather(self, array, name):
        self.devices.append(array.context.device_type)
        return array

    def grouped_allreduce_(self, arrays, average, name):
        self.devices += [array.context.device_type for array in arrays]


@pytest.mark.parametrize("device, nccl, through", [("gpu", 1, "gpu"), ("gpu", 0, "cpu"), ("cpu", 1, "cpu")])
def test_arrays_go_from_device_to_device_where_horovod_can_and_through_the_host_elsewhere(device, nccl, through):
    processes = HorovodProcesses.__new__(HorovodProcesses)
    processes.rank, processes.size, processes.bytes_sent = 0, 2, 0
    transfers = Transfers(nccl)
    processes._use(transfers)
    array = Array(device)
    assert processes.gather(array, "features").context.device_type == device
    processes.allreduce([array], "sum")
    assert transfers.devices == [through] * 2 and processes.bytes_sent == 24 + 24
    assert bool(array.copied) == (through != device)


def test_a_process_alone_has_lost_nobody():
    assert Processes().lost() is None and np.array_equal(Processes().allgather(np.ones(2), "x"), np.ones(2))
