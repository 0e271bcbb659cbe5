"""The trainer on real photographs, with parts so small that a step takes hundredths of a second."""

from __future__ import annotations

import json
import resource
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from genllava import GenLlavaPipeline
from genllava.errors import CheckpointError, InvalidRequest, NonFiniteError
from genllava_finetune.data.errors import DataError
from genllava_finetune.train.rows import TrainingRows, sources_of
from genllava_finetune.train.run import Run
from tests.finetune.train.small_runs import losses, recipe, trainer_of, weights

ROOT = Path(__file__).parents[3]


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    """All that a run leaves, and a trained pipeline that loads and does all three."""
    made = recipe({"evaluate_every": 4, "samples": 8, "ema": 0.9, "gradient_norms_every": 2})
    folder = Run(made, tmp_path / "run").train()
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["checkpoints", "model", "recipe.yaml", "runs", "samples", "stages"]
    assert sorted(p.name for p in (tmp_path / "run/checkpoints/train").iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert list((tmp_path / "run/runs/train").glob("events*"))
    logged = json.loads((tmp_path / "run/checkpoints/train/checkpoint-4/trainer_state.json").read_text())["log_history"]
    for name in ("cross_entropy", "denoising", "alignment"):
        assert all(entry[f"loss/{name}"] >= 0 for entry in logged)
        assert logged[1][f"gradient_norm/{name}"] > 0
    for entry in logged:
        assert sum(value for name, value in entry.items() if name.startswith("share/")) == pytest.approx(1, abs=1e-4)
    page = Image.open(tmp_path / "run/samples/train-000004.png")
    assert page.size == (3 * 128, 5 * 128)
    answers = (tmp_path / "run/samples/train-000004.jsonl").read_text().splitlines()
    assert all(json.loads(line)["expected"].startswith("It shows ") for line in answers)
    assert len(answers) == 3
    pipeline = GenLlavaPipeline.from_pretrained(folder, device="cpu")
    assert pipeline.generate("Draw a cat.", plan="a cat", seed=0).image.size == (16, 16)
    assert pipeline.edit(Image.new("RGB", (16, 16)), "darker", plan="darker", seed=0).image is not None
    assert isinstance(pipeline.understand(Image.new("RGB", (16, 16)), "What?", max_new_tokens=2).text, str)
    with pytest.raises(CheckpointError, match="--resume"):
        Run(made, tmp_path / "run")
    with pytest.raises(CheckpointError, match="another recipe"):
        Run(recipe({"learning_rate": 0.5}), tmp_path / "run", resume=True)
    assert Run(made, tmp_path / "run", resume=True).train() == folder


def test_going_on_gives_the_losses_of_a_run_that_was_not_stopped(tmp_path: Path) -> None:
    made = recipe({"ema": 0.9, "steps": 4, "save_every": 2, "task_token_dropout": 0.3})
    whole = trainer_of(made, tmp_path / "whole")
    whole.train()
    cut = trainer_of(made, tmp_path / "cut")
    cut.args.max_steps = 2
    cut.train()
    torch.manual_seed(123)
    resumed = trainer_of(made, tmp_path / "cut")
    resumed.train(str(resumed.last_checkpoint))
    assert losses(resumed) == losses(whole)
    assert torch.equal(weights(resumed), weights(whole))
    assert whole.ema is not None
    assert resumed.ema is not None
    assert resumed.ema.optimization_step == whole.ema.optimization_step == 4
    for one, other in zip(resumed.ema.shadow_params, whole.ema.shadow_params, strict=True):
        assert torch.equal(one, other)


def test_rows_and_noise_of_two_workers_go_on_behind_an_odd_number_of_batches() -> None:
    """A loader asks its first worker first, which then reads what the second one would have read."""
    sources = sources_of(recipe().data)

    def batches(skipped: int, count: int) -> list[list[tuple[str, int]]]:
        rows = TrainingRows(sources, seed=3)
        rows.skip_batches(skipped, 2)
        loader = DataLoader(rows, batch_size=2, num_workers=2, collate_fn=list)
        return [[(row["id"], row["seed"]) for row in batch] for batch in islice(loader, count)]

    whole = batches(0, 7)
    assert len({seed for batch in whole for _, seed in batch}) == 14
    assert batches(3, 4) == whole[3:]


def test_micro_batches_give_the_gradient_of_one_batch(tmp_path: Path) -> None:
    """Rows have different numbers of tokens, and some have no picture: each loss is a mean over all of them."""
    gradients = []
    for size, micro in ((8, 1), (2, 4)):
        stage = {"batch_size": size, "gradient_accumulation_steps": micro, "steps": 1, "max_grad_norm": 0}
        trainer = trainer_of(recipe(stage), tmp_path / str(size))
        found: list[torch.Tensor] = []
        trainer.add_callback(_Gradients(found))
        trainer.train()
        gradients.append(found[0])
    assert float(gradients[0].norm()) > 0.1
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


def _Gradients(found: list[torch.Tensor]) -> Any:
    from transformers import TrainerCallback

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))

    return Gradients()


def test_lora_and_new_tokens(tmp_path: Path) -> None:
    """Adapters alone are trained; merged, saved and loaded they say and draw what they said before."""
    stage = {
        "train": ["generation_head"],
        "lora": [
            {"on": "vlm.model.language_model", "r": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "down_proj"]},
            {"on": "decoder.unet", "r": 2, "alpha": 4, "targets": ["to_q", "to_v"]},
        ],
        "steps": 3,
        "save_every": 0,
    }
    made = recipe(stage)
    run = Run(made, tmp_path / "run")
    parts = run._new_parts()
    model, encoder, adapters = run._model(made.stages[0], parts)
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or "trainable_tokens" in n or n.startswith("generation_head") for n in trained)
    assert any("trainable_tokens" in n for n in trained)
    assert any(n.startswith("decoder.unet") for n in trained)
    trainer = run._trainer(0, model, encoder)
    trainer.train()
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)
    model.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        before = {name: float(value) for name, value in model(**batch).items()}
    for name, adapted in adapters.by_module.items():
        adapted.save_pretrained(tmp_path / name)
        assert (tmp_path / name / "adapter_model.safetensors").is_file()
    adapters.merge()
    assert not any("lora" in n or "trainable_tokens" in n for n, _ in model.named_parameters())
    with torch.no_grad():
        after = {name: float(value) for name, value in model(**batch).items()}
    assert after == pytest.approx(before, rel=1e-4)

    from peft import PeftModel

    fresh, _, _ = Run(made, tmp_path / "other")._model(made.stages[0].model_copy(update={"lora": ()}), run._new_parts())
    fresh.generation_head.load_state_dict(model.generation_head.state_dict())
    PeftModel.from_pretrained(fresh.vlm, str(tmp_path / "vlm")).merge_and_unload()
    PeftModel.from_pretrained(fresh.decoder["unet"], str(tmp_path / "decoder.unet")).merge_and_unload()
    with torch.no_grad():
        loaded = {name: float(value) for name, value in fresh.eval()(**batch).items()}
    assert loaded == pytest.approx(before, rel=1e-4)


@pytest.mark.slow
def test_losses_with_and_without_a_cache(tmp_path: Path) -> None:
    """Latents, states of the vision tower, and states at the queries; the second epoch computes none of them."""
    stage = {"train": ["generation_head"], "steps": 4, "batch_size": 16, "save_every": 0}
    drawn = [{"name": "drawn", "rows": "genllava_finetune.recipes.tiny_real:rows"}]
    drawn[0]["options"] = {"side": 16, "kinds": ["drawn"]}  # type: ignore[assignment]
    found = {}
    for name, cache, data in (
        ("plain", [], None),
        ("kept", ["latents", "vision"], None),
        ("plain states", [], drawn),
        ("kept states", ["states", "latents"], drawn),
    ):
        made = recipe({**stage, "cache": cache}, **({"data": data} if data else {}))
        trainer = trainer_of(made, tmp_path / name)
        trainer.train()
        entries = trainer.state.log_history
        found[name] = [[entry.get(f"loss/{term}") for entry in entries[:-1]] for term in ("denoising", "alignment")]
    files = list((tmp_path / "kept/cache").rglob("*.safetensors"))
    assert len([file for file in files if "latents" in file.parts]) == 20 + 10
    assert len([file for file in files if "vision" in file.parts]) == 12 + 10 + 10
    assert len(list((tmp_path / "kept states/cache/states").rglob("*.safetensors"))) == 10
    for one, other in (("plain", "kept"), ("plain states", "kept states")):
        for term, same in zip(found[one], found[other], strict=True):
            assert term == pytest.approx(same, rel=1e-4)
    with pytest.raises(InvalidRequest, match="network that is trained"):
        trainer_of(recipe({"cache": ["states"]}), tmp_path / "trained")


def test_only_named_modules_are_trained(tmp_path: Path) -> None:
    """`vlm.new_tokens` trains the rows of the added tokens, and no others."""
    made = recipe({"train": ["vlm.new_tokens", "vlm.model.multi_modal_projector"], "weight_decay": 0.1, "steps": 2})
    run = Run(made, tmp_path / "run")
    model, encoder, adapters = run._model(made.stages[0], run._new_parts())
    before = {name: each.clone() for name, each in model.state_dict().items()}
    run._trainer(0, model, encoder).train()
    adapters.merge()
    table = model.vlm.get_input_embeddings().weight
    old = next(each for name, each in before.items() if "embed_tokens" in name and each.shape == table.shape)
    rows = (table != old).any(1).nonzero()[:, 0].tolist()
    assert set(rows) <= set(encoder.added_tokens)
    assert len(rows) >= 4
    for name, value in model.state_dict().items():
        if "multi_modal_projector" in name:
            assert not torch.equal(value, before[name])
        elif name in before and "embed_tokens" not in name and "lm_head" not in name:
            assert torch.equal(value, before[name]), name


def test_what_is_not_finite_is_skipped_and_stops_a_run(tmp_path: Path) -> None:
    trainer = trainer_of(recipe({"steps": 8, "non_finite": 3, "save_every": 2, "weight_decay": 0.1}), tmp_path)
    forward, calls = trainer.model.forward, []

    def broken(**batch: Any) -> Any:
        calls.append(len(calls) + 1)
        outputs = forward(**batch)
        return {**outputs, "loss": outputs["loss"] * float("nan")} if calls[-1] in (2, 5, 6, 7) else outputs

    trainer.model.forward = broken
    before = []
    trainer.optimizer = None
    trainer.add_callback(_Watch(before))
    with pytest.raises(NonFiniteError, match="step 7: 3 losses"):
        trainer.train()
    assert trainer.skipped == 4
    assert torch.equal(before[0], before[1])
    assert not torch.equal(before[1], before[2])
    assert trainer.last_checkpoint is not None
    assert trainer.last_checkpoint.name == "checkpoint-6"
    assert bool(weights(trainer).isfinite().all())


def _Watch(found: list[torch.Tensor]) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            found.append(torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad]))

    return Watch()


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    trainer = trainer_of(recipe({"steps": 4, "save_every": 2}), tmp_path)
    kept = tmp_path / "checkpoints/train/checkpoint-2"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(*_: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    trainer.add_callback(_After(3, full))
    try:
        with pytest.raises(CheckpointError, match=r"checkpoint-4.*checkpoint-2"):
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in kept.parent.iterdir()] == ["checkpoint-2"]
    resumed = trainer_of(recipe({"steps": 4, "save_every": 2}), tmp_path)
    resumed.train(str(kept))
    assert resumed.state.global_step == 4


def _After(step: int, do: Any) -> Any:
    from transformers import TrainerCallback

    class After(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                do()

    return After()


def bad_rows(bad: int) -> list[Any]:
    """Rows of which some say what the chat template cannot write: an answer after an open tool call."""
    from genllava_finetune.data.rows import read_row
    from genllava_finetune.recipes.tiny_real import rows

    made = [read_row(row) for row in rows(16, ["shown"])]
    calls = {"type": "tool_call", "id": "a", "name": "crop", "arguments": {}}
    wrong = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    wrong.append({"role": "assistant", "content": [calls, {"type": "text", "text": "Done."}]})
    for number in range(bad):
        value = {"images": [], "messages": wrong, "source": "bad", "license": "unknown", "id": f"bad-{number}"}
        made.append(read_row(value))
    return made


def test_rows_that_cannot_be_encoded_are_listed(tmp_path: Path) -> None:
    entry = {"rows": f"{__name__}:bad_rows", "options": {"bad": 4}}
    sys.modules.setdefault(__name__, sys.modules[bad_rows.__module__])
    made = recipe({"steps": 4, "batch_size": 8, "rejected_share": 0.5, "save_every": 0}, data=[entry])
    trainer_of(made, tmp_path / "kept").train()
    listed = [json.loads(line) for line in (tmp_path / "kept/rejected-train.jsonl").read_text().splitlines()]
    assert {each["source"] for each in listed} == {"bad"}
    assert "tool call" in listed[0]["reason"]
    made = recipe({"steps": 40, "batch_size": 8, "rejected_share": 0.1, "save_every": 0}, data=[entry])
    with pytest.raises(DataError, match="rejected_share"):
        trainer_of(made, tmp_path / "stopped").train()


def test_parts_that_do_not_fit(tmp_path: Path) -> None:
    head = {"num_queries": 2, "output_dim": 7}
    with pytest.raises(CheckpointError, match="output_dim=16"):
        Run(recipe(model={"generation_head": head}), tmp_path / "a").train()
    with pytest.raises(InvalidRequest, match=r"no module decoder\.unett: did you mean decoder\.unet\?"):
        Run(recipe({"train": ["decoder.unett"]}), tmp_path / "b").train()
    with pytest.raises(InvalidRequest, match="no linear layer named q_prj"):
        Run(recipe({"lora": {"on": "vlm", "targets": ["q_prj"]}}), tmp_path / "c").train()
    with pytest.raises(InvalidRequest, match=r"learning_rate: decoder\.unet is not trained"):
        trainer_of(recipe({"learning_rate": {"default": 0.1, "decoder.unet": 0.2}}), tmp_path / "d").train()
