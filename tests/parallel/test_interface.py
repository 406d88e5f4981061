"""The interface that a process names to gloo."""

import os
import socket

import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.parallel import interface


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HOROVOD_GLOO_IFACE", "wire0")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "wire0")
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "10.0.0.1")
    monkeypatch.setattr(interface, "address_towards", lambda host: "10.0.0.7")
    monkeypatch.setattr(interface, "interface_of", lambda address: "cable7" if address == "10.0.0.7" else None)


def test_it_is_the_one_that_leads_to_the_launcher(monkeypatch):
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "10.0.0.7")
    interface.use_own_interface()
    assert os.environ["HOROVOD_GLOO_IFACE"] == os.environ["NCCL_SOCKET_IFNAME"] == "cable7"


@pytest.mark.parametrize("leads_to", ["127.0.1.1", None])
def test_a_host_whose_own_name_leads_nowhere_is_told_how_to_mend_it(monkeypatch, leads_to):
    def resolve(name):
        if leads_to is None:
            raise socket.gaierror(-2, "unknown")
        return leads_to

    monkeypatch.setattr(socket, "gethostbyname", resolve)
    with pytest.raises(
        UserError, match=f"leads to {leads_to or 'no address'}.*write '10.0.0.7 {socket.gethostname()}'"
    ):
        interface.use_own_interface()


@pytest.mark.parametrize("own", ["127.0.0.1", None])
def test_within_one_host_nothing_is_changed(monkeypatch, own):
    monkeypatch.setattr(interface, "address_towards", lambda host: own)
    interface.use_own_interface()
    assert os.environ["HOROVOD_GLOO_IFACE"] == "wire0"
