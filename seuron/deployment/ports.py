"""One port for each deployment of this machine, also when two start at the same moment."""

from __future__ import annotations

import socket
from typing import IO

from seuron.deployment.locks import try_lock
from seuron.errors import RunError
from seuron.storage.private_files import runtime_folder

#: Ports tried, from the first one asked for.
_PORTS_TRIED = 50


def claim_port(address: str, first: int) -> tuple[int, IO[str]]:
    """A free port from `first` on, and the lock that keeps other deployments from it for as long as it is open.

    A port is bound only some seconds after it was chosen; without the lock another deployment could choose
    it meanwhile. Raises RunError when none is free.
    """
    folder = runtime_folder()
    for port in range(first, first + _PORTS_TRIED):
        lock = try_lock(folder / f"port-{port}.lock")
        if lock is not None and is_free(address, port):
            return port, lock
        if lock is not None:
            lock.close()
    raise RunError(f"no free port on {address} from {first} to {first + _PORTS_TRIED - 1}; stop what holds them")


def is_free(address: str, port: int) -> bool:
    """Whether a port could be bound now."""
    with socket.socket() as probe:
        # Connections that are closing must not count as a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
