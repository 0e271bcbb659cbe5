"""Tests run in two processes (`-n 2` in pyproject.toml; `pytest -n 0` for one), each with one thread of its own."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded: threads of two processes would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
