"""Running the service until it is told to stop: requests under way are answered first."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinydigits.errors import TinydigitsError
from tinydigits.serve.app import create_app
from tinydigits.serve.connection import Server
from tinydigits.serve.limits import Limits

__all__ = ["run_server"]

_LOCAL = ("127.0.0.1", "localhost", "::1")
_REQUESTS_A_SECOND = 100.0  # of an address elsewhere
_OTHER_FILES = 500  # libraries, standard streams, connections that are about to be closed


def run_server(
    models: Mapping[str, Path],
    host: str,
    port: int,
    limits: Limits | None = None,
    *,
    allow_hosts: Sequence[str] = (),
    requests_a_second: float | None = None,
) -> None:
    """Serve some exported models, the first of them the default, until SIGINT or SIGTERM.

    It answers to `localhost`, to the name that it is bound to, to addresses, and to `allow_hosts`, so that a web page
    elsewhere cannot reach it by a name of its own. `requests_a_second` bounds each address, 0 does not; by default
    there is no bound where only this machine may ask, else 100. Raises TinydigitsError where the address cannot be had.
    """
    if requests_a_second is None:
        requests_a_second = 0 if host in _LOCAL else _REQUESTS_A_SECOND
    bounds = dataclasses.replace(limits or Limits(), requests_a_second=requests_a_second or None)
    bounds = dataclasses.replace(bounds, connections=_allow_files(bounds.connections))
    app = create_app(models, bounds, hosts=("localhost", host, *allow_hosts))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            raise TinydigitsError(
                f"{host}:{port}", f"cannot be had: {error}", hint="--port 0 for a free one"
            ) from error
        port = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{port}  the page; /docs the API; Ctrl-C stops", flush=True)
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a line for each malformed form otherwise
        Server(app, bounds).run(sockets=[listener])


def _allow_files(connections: int) -> int:
    """Let this process have so many connections open, and say how many it may have: each is a file to the system."""
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return connections if soft == resource.RLIM_INFINITY else min(connections, max(soft - _OTHER_FILES, soft // 2))
