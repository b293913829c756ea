"""Running the service until it is told to stop: requests under way are answered first."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from tinydigits.errors import TinydigitsError
from tinydigits.serve.app import Limits, create_app

__all__ = ["run_server"]

_GRACE_SECONDS = 10
_LOCAL = ("127.0.0.1", "localhost", "::1")


def run_server(models: Mapping[str, Path], host: str, port: int, limits: Limits | None = None) -> None:
    """Serve some exported models, the first of them the default, until SIGINT or SIGTERM.

    Bound to this machine alone, it answers only to its local names, so that a web page elsewhere cannot reach it by a
    name of its own. Raises TinydigitsError where the address cannot be had.
    """
    is_local = host in _LOCAL
    app = create_app(models, limits, hosts=_LOCAL if is_local else None)
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
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])
