"""Training in processes of its own: several of them, sharded ones, and one that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[3]
TRAIN = ["-m", "genllava_finetune.train"]
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "NO_WRAP"}
FSDP |= {"FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}
TRAINED = "[vlm.model.language_model,vlm.lm_head,vlm.model.multi_modal_projector,generation_head]"
pytestmark = pytest.mark.slow


def command(
    program: list[str], folder: Path, batch_size: int, steps: int = 3, save_every: int = 2, ema: float | None = None
) -> list[str]:
    """A short run of `tiny-real`; sharded weights have no moving average."""
    settings = [f"stages.joint.train={TRAINED}", f"stages.decoder.ema={'null' if ema is None else ema}"]
    for stage in ("decoder", "joint"):
        values = {"batch_size": batch_size, "steps": steps, "log_every": 1}
        values |= {"save_every": save_every, "evaluate_every": 0}
        settings += [f"stages.{stage}.{key}={value}" for key, value in values.items()]
    return [*program, "tiny-real", "-o", str(folder), *(word for each in settings for word in ("--set", each))]


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join(str(ROOT / each) for each in ("", "agent", "finetune", "tools"))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **more}


def run(arguments: list[str], **more: str) -> None:
    done = subprocess.run(arguments, env=environment(**more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder: Path) -> list[tuple[int, float]]:
    """Step and loss of all that was logged."""
    stages = sorted((folder / "checkpoints").iterdir())
    last = [max(stage.glob("checkpoint-*"), key=lambda path: int(path.name[11:])) for stage in stages]
    logs = [json.loads((each / "trainer_state.json").read_text())["log_history"] for each in last]
    return [(entry["step"], entry["loss"]) for log in logs for entry in log if "loss" in entry]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All trained weights of a run's end."""
    return {f"{f.name}:{k}": v for f in sorted((folder / "stages").iterdir()) for k, v in load_file(f).items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(command([sys.executable, *TRAIN], folder, 8))
    return folder


def test_two_processes_of_accelerate_give_the_losses_of_one(alone: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    run(command([*launch, "--main_process_port", "29721", *TRAIN], tmp_path / "run", 4))
    assert len(losses(alone)) >= 4
    assert losses(tmp_path / "run") == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in losses(alone)]


def test_two_processes_of_torchrun_give_the_losses_of_one(alone: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29723"]
    run(command([*launch, *TRAIN], tmp_path / "run", 4), ACCELERATE_USE_CPU="false")  # as the docs have it: nothing set
    assert losses(tmp_path / "run") == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in losses(alone)]


def test_two_sharded_processes_give_the_losses_of_one_and_go_on(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29722"]
    sharded = command([*launch, str(Path(__file__).with_name("fsdp_on_cpu.py"))], folder, 4)
    run(sharded, **FSDP)
    assert losses(folder) == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in losses(alone)]
    whole = weights(folder)
    (folder / "stages" / "1-joint.safetensors").unlink()
    (folder / "model").rename(tmp_path / "model")
    for checkpoint in sorted((folder / "checkpoints" / "joint").iterdir())[1:]:
        checkpoint.rename(tmp_path / checkpoint.name)
    run([*sharded, "--resume"], **FSDP)
    assert all(torch.equal(whole[name], each) for name, each in weights(folder).items())


def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """SIGKILL in the middle of the second stage, with a moving average in the first."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    words = {}
    for folder in (whole, cut):
        words[folder] = command([sys.executable, *TRAIN], folder, 2, steps=12, save_every=4, ema=0.98)
    run(words[whole])
    process = subprocess.Popen(words[cut], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (cut / "checkpoints" / "joint" / "checkpoint-8").exists():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / "model").exists()
    run([*words[cut], "--resume"])
    assert len(losses(cut)) >= 12
    assert losses(cut) == losses(whole)
    for name in ("0-decoder", "1-joint"):
        one, other = ((folder / f"stages/{name}.safetensors").read_bytes() for folder in (whole, cut))
        assert one == other
