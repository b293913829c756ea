"""The service: the drawing page, and an HTTP API that reads digits. FastAPI, uvicorn and onnxruntime, no torch."""

from tinydigits.serve.app import create_app
from tinydigits.serve.limits import Limits
from tinydigits.serve.server import run_server

__all__ = ["Limits", "create_app", "run_server"]
