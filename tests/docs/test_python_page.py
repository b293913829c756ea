"""The page on Python: its examples run in the order in which they stand, in a folder of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import Mnist

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_examples_run_from_top_to_bottom(tmp_path: Path, mnist: Mnist) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    script = tmp_path / "page.py"
    script.write_text("\n".join([*blocks, "print(verdict)"]), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(blocks) > 4 and "against contract: holds" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"page.py", "runs", "exported"}
