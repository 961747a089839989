"""How many processors this process may use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def usable_cpus(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> int:
    """Processors that are really ours, at least 1.

    The least of: those the process is bound to, the share that its container or job may use
    (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``), and ``SLURM_CPUS_PER_TASK``.
    """
    bound = getattr(os, "sched_getaffinity", None)  # not on macOS
    counts = [len(bound(0)) if bound else os.cpu_count() or 1]
    slurm = environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isdigit():
        counts.append(int(slurm))
    counts += [int(share) for share in _quotas(root)]
    return max(1, min(counts))


def _quotas(root: Path) -> list[float]:
    """Processor shares of this process's control groups and all groups above them."""
    base = root / "sys/fs/cgroup"
    shares = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, name = line.partition(":")
        controllers, _, group = name.partition(":")
        if controllers not in ("", "cpu", "cpu,cpuacct"):
            continue
        top = base / controllers
        folder = top / group.lstrip("/")
        # Inside a container the group's path may be seen from outside: then only the top exists.
        for at in {folder, *(up for up in folder.parents if up.is_relative_to(top)), top}:
            if not controllers:
                quota, _, period = _text(at / "cpu.max").partition(" ")
            else:
                quota, period = (_text(at / f"cpu.cfs_{x}_us") for x in ("quota", "period"))
            if quota.isdigit() and period.isdigit() and int(period):
                shares.append(int(quota) / int(period))
    return shares


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
