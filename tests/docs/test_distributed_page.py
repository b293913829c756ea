"""The page on several processes: its script for Slurm is one that bash reads and that starts what it says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    [text] = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "train.sbatch"
    path.write_text(text, encoding="utf-8")
    return path


def test_bash_reads_the_script(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True, timeout=30)


def test_it_starts_a_torchrun_on_each_machine_that_meets_at_the_first(script: Path, tmp_path: Path) -> None:
    for name, body in (("scontrol", "printf 'alpha\\nbeta\\n'"), ("srun", 'printf "%s\\n" "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "x", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "4"}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(script), "dash-99", "--seeds", "2"]
    ran = subprocess.run(
        command, env=os.environ | slurm | {"PATH": path}, check=True, timeout=30, capture_output=True, text=True
    )
    assert ran.stdout.split() == [
        "torchrun", "--nnodes", "2", "--nproc-per-node", "4", "--rdzv-backend", "c10d", "--rdzv-id", "7",
        "--rdzv-endpoint", "alpha:29500", "-m", "tinydigits", "train", "dash-99", "--seeds", "2",
    ]  # fmt: skip
