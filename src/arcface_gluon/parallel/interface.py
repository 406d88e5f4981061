"""The network interface of this host by which the processes of a run reach each other."""

from __future__ import annotations

import os
import socket

from ..errors import UserError


def use_own_interface() -> None:
    """Name this host's interface to gloo and NCCL, before Horovod starts.

    horovodrun gives every host the same name, the first of its --network-interfaces in no order: with eth0 on one and
    enp5s0 on the other, one of them finds none. The right one is that which leads to the launcher.

    Horovod 0.28 names it to the first of gloo's contexts only. The others listen where the host's own name leads to.

    Raises:
        UserError: that is nowhere, or where other hosts cannot reach it (as Debian writes it, 127.0.1.1).
    """
    address = os.environ.get("HOROVOD_GLOO_RENDEZVOUS_ADDR")
    own = address_towards(address) if address else None
    if own is None or own.startswith("127."):
        return
    name = interface_of(own)
    if name:
        os.environ["HOROVOD_GLOO_IFACE"] = os.environ["NCCL_SOCKET_IFNAME"] = name
    host = socket.gethostname()
    try:
        leads_to = socket.gethostbyname(host)
    except OSError:
        leads_to = "no address"
    if leads_to == "no address" or leads_to.startswith("127."):
        raise UserError(
            f"host {host}: its own name leads to {leads_to}, where the other hosts cannot reach its process; write "
            f"'{own} {host}' into its /etc/hosts in place of what is there"
        )


def address_towards(host: str) -> str | None:
    """This host's own address on the way to a host; None where there is no way."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # nothing is sent
            probe.connect((host, 9))
            return probe.getsockname()[0]
    except OSError:
        return None


def interface_of(address: str) -> str | None:
    """Name of this host's interface that has an address; None where there is none."""
    import psutil  # which Horovod needs

    found = psutil.net_if_addrs().items()
    return next((name for name, entries in found if any(entry.address == address for entry in entries)), None)
