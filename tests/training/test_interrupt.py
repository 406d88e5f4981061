"""Signals: acknowledged at once, obeyed after what is in hand, and the second one at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from arcface_gluon.training.interrupt import Interrupted, Interrupts


def test_the_first_signal_is_remembered_and_the_usual_handlers_come_back(capfd):
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts("stopping after this batch") as interrupts:
        assert interrupts.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before and signal.set_wakeup_fd(-1) == -1
    assert capfd.readouterr().err == "SIGTERM: stopping after this batch; again to stop at once\n"
    assert not [thread for thread in threading.enumerate() if "acknowledge" in thread.name]


def test_processes_but_the_first_say_nothing(capfd):
    with Interrupts(None) as interrupts, pytest.raises(Interrupted, match="gone"), interrupts.immediate("now", "gone"):
        os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == ""


def test_a_signal_that_came_before_is_obeyed_where_there_is_nothing_to_finish():
    with Interrupts(None) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted) as stop, interrupts.immediate("now", "gone"):
            raise AssertionError
    assert stop.value.number == signal.SIGINT and stop.value.status == 130


def test_nested_ones_give_back_to_the_outer():
    with Interrupts(None) as outer:
        with Interrupts(None) as inner:
            os.kill(os.getpid(), signal.SIGINT)
        assert inner.received and not outer.received
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.received == signal.SIGTERM


BUSY = """
import ctypes
from arcface_gluon.training.interrupt import Interrupts
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.pthread_mutex_init(mutex, None)
libc.pthread_mutex_lock(mutex)
with Interrupts("stopping after this iteration"):
    print(flush=True)
    libc.pthread_mutex_lock(mutex)  # for ever; as while MXNet computes, Python runs no handler before this returns
"""


def test_while_a_library_computes_the_first_is_acknowledged_and_the_second_stops():
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "SIGINT: stopping after this iteration; again to stop at once\n"
    process.send_signal(signal.SIGINT)  # a launcher that passes on what the terminal sent: still one
    time.sleep(0.7)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130 and time.monotonic() - began < 20
    process.communicate()
