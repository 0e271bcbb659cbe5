"""The lines of docs/serving.md do what they say."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import Serving, mask_of, opened

from genllava_agent.serving.command import _LIMITS, _parser

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_lines_with_curl(server: Serving, drawing: bytes, tmp_path: Path) -> None:
    (tmp_path / "drawing.png").write_bytes(drawing)
    (tmp_path / "mask.png").write_bytes(mask_of(opened(drawing).size, (0, 0, 56, 56)))
    lines = [line for line in TEXT.splitlines() if line.startswith("curl ")]
    assert len(lines) == 8
    for line in lines:
        command = shlex.split(line.replace("localhost:8000", server.url.removeprefix("http://")))
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
        if "stream" in line:
            assert done.stdout.rstrip().endswith("data: [DONE]")
        elif "metrics" in line:
            assert "genllava_requests_total" in done.stdout
        else:
            assert "error" not in json.loads(done.stdout), line


def test_the_options_that_are_named_exist() -> None:
    known = {flag for action in _parser()._actions for flag in action.option_strings}
    named = {word.strip(",;:.()") for word in TEXT.replace("`", " ").split() if word.startswith("--")}
    assert named - known - {"--enable-auto-tool-choice", "--value"} == set()  # of other programs
    assert {f"--{name.replace('_', '-')}" for name in _LIMITS} <= named
