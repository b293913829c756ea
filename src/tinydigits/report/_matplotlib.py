"""matplotlib, which keeps its list of fonts in the cache of tinydigits unless the user has a folder for matplotlib.

`tinydigits.report` imports this module first.
"""

from __future__ import annotations

import os
from pathlib import Path

from tinydigits.environment import default_variables
from tinydigits.machine import cache_root


def _folder() -> dict[str, str]:
    """The variable that names another folder; none where settings that the user has would be missed."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (raises nothing where there is no home)
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    local = Path(os.environ.get("LOCALAPPDATA") or config)  # Windows
    if any(place.is_dir() for place in (config / "matplotlib", local / "matplotlib", home / ".matplotlib")):
        return {}
    return {"MPLCONFIGDIR": str(cache_root() / "matplotlib")}


with default_variables(**_folder()):
    from matplotlib import font_manager  # noqa: F401 (writes the list)
