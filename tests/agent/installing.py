"""Programs that tests need and Python's packages do not bring, by the system's own packages."""

from __future__ import annotations

import os
import shutil
import subprocess


def install(package: str) -> bool:
    """Whether `package` was installed: it takes root, apt-get and a network."""
    if os.name == "nt" or os.getuid() != 0 or not shutil.which("apt-get"):
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", package]
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError):
        return False
    return True
