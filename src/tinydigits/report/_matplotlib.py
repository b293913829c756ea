"""matplotlib as it comes, whatever the user has set for other pictures: MPLBACKEND, a matplotlibrc, rcParams.

`tinydigits.report` imports this module first. A notebook sets MPLBACKEND for all commands that are started from it, and
importing matplotlib fails where that backend is not installed; no backend is needed to draw into a file. Its list of
fonts is kept in the cache of tinydigits, unless the user has a folder for matplotlib.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tinydigits.environment import default_variables
from tinydigits.machine import cache_root

__all__ = ["in_default_style"]


def _folder() -> dict[str, str]:
    """The variable that names another folder; none where settings that the user has would be missed."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (raises nothing where there is no home)
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    local = Path(os.environ.get("LOCALAPPDATA") or config)  # Windows
    if any(place.is_dir() for place in (config / "matplotlib", local / "matplotlib", home / ".matplotlib")):
        return {}
    return {"MPLCONFIGDIR": str(cache_root() / "matplotlib")}


_backend = os.environ.pop("MPLBACKEND", None)
try:
    with default_variables(**_folder()):
        import matplotlib
        from matplotlib import font_manager  # noqa: F401 (writes the list)
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend
if _backend:
    with contextlib.suppress(ValueError):  # the user's own figures have it, where it is installed
        matplotlib.rcParams["backend"] = _backend

# The backend alone is not given back after the block.
in_default_style = matplotlib.rc_context(
    {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
)
"""Decorates what draws: within it rcParams are matplotlib's own defaults."""
