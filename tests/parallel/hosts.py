"""Two hosts on one machine: network namespaces with a cable between, a name, an sshd and mounts of their own each."""

import os
import shutil
import subprocess
import time
from pathlib import Path

NAMES = ("one", "two")
INTERFACES = ("wire0", "cable7")  # other names on each host, as on machines of two makers
ADDRESSES = ("10.213.77.1", "10.213.77.2")
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def why_not():
    """Why hosts cannot be made here; None where they can."""
    missing = [tool for tool in ("ip", "ssh", "ssh-keygen", "unshare", "nsenter") if shutil.which(tool) is None]
    missing += [] if Path(SSHD).exists() else ["sshd"]
    if missing:
        return f"two hosts need {', '.join(missing)}"
    if os.geteuid():
        return "network namespaces can be made by root only"
    done = subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], capture_output=True, text=True)
    return f"network namespaces cannot be made: {done.stderr.strip()}" if done.returncode else None


class Hosts:
    """`with Hosts(folder) as hosts`: hosts "one" and "two" that reach each other by ADDRESSES.

    Both see the same files, but for what `hide` puts in place of a folder on the second.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._holders, self._sshds = [], []

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        for key in ("host_key", "user_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key)
        config = self.folder / "sshd_config"
        config.write_text(
            f"HostKey {self.folder}/host_key\nAuthorizedKeysFile {self.folder}/user_key.pub\nStrictModes no\n"
            "UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nPidFile none\nMaxStartups 100\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        # horovodrun calls `ssh`: this one keeps what it learns of the hosts out of the user's known_hosts.
        wrapper = self.folder / "bin" / "ssh"
        wrapper.parent.mkdir()
        options = (
            f"-i {self.folder}/user_key -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR"
        )
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
        wrapper.chmod(0o755)
        self.disk = self.folder / "disk"  # a small one, which is there before the hosts are
        self.disk.mkdir()
        _run("mount", "-t", "tmpfs", "-o", "size=6m", "none", self.disk)
        for name in NAMES:
            holder = subprocess.Popen(["unshare", "--net", "--uts", "--mount", "sleep", "infinity"])
            self._holders.append(holder)
            self._until(lambda pid=holder.pid: os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"))
            self.run(name, "hostname", name)
            self.run(name, "mount", "--bind", self._names(), "/etc/hosts")
        self._wire()
        for name in NAMES:
            self._sshds.append(self.start(name, [SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL))
        for address in ADDRESSES:
            self._until(lambda a=address: self.run("one", wrapper, a, "true", check=False).returncode == 0)
        return self

    def _names(self):
        path = self.folder / "hosts"
        lines = [f"{address} {name}" for name, address in zip(NAMES, ADDRESSES)]
        path.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        return path

    def _wire(self):
        first, second = (holder.pid for holder in self._holders)
        _run("ip", "link", "add", INTERFACES[0], "netns", first, "type", "veth", "peer", INTERFACES[1], "netns", second)
        for name, interface, address in zip(NAMES, INTERFACES, ADDRESSES):
            self.run(name, "ip", "address", "add", f"{address}/24", "dev", interface)
            self.run(name, "ip", "link", "set", interface, "up")
            self.run(name, "ip", "link", "set", "lo", "up")

    def __exit__(self, *exception):
        for process in (*self._sshds, *self._holders):
            process.kill()
            process.wait()
        _run("umount", self.disk)

    def _inside(self, name, arguments, folder="/"):
        pid = self._holders[NAMES.index(name)].pid
        return ["nsenter", "--net", "--uts", "--mount", f"--wdns={folder}", "-t", str(pid), *map(str, arguments)]

    def run(self, name, *arguments, check=True):
        """A command on a host, to its end."""
        return subprocess.run(self._inside(name, arguments), check=check, capture_output=True, text=True)

    def start(self, name, arguments, folder="/", **options):
        """A command in a folder of a host; gives the process."""
        path = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.Popen(self._inside(name, arguments, folder), env={**os.environ, **path}, **options)

    def link(self, up):
        """Plug the cable in, or out."""
        self.run("two", "ip", "link", "set", INTERFACES[1], "up" if up else "down")

    def hide(self, folder):
        """Give the second host an empty folder of its own in place of `folder`."""
        self.run("two", "mount", "-t", "tmpfs", "none", folder)

    def reveal(self, folder):
        """Take that away."""
        self.run("two", "umount", folder)

    @staticmethod
    def _until(true, seconds=20):
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, "the hosts did not start"
            time.sleep(0.05)


def _run(*arguments):
    subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True)
