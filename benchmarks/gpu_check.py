"""Checks that need a GPU: precisions, memory, seconds a step and exact resume, with a backbone of Llama 3 8B's shape.

    python benchmarks/gpu_check.py [--layers 2] [--backbone FOLDER_OR_HUB_ID] [--rounds 7]
    python benchmarks/gpu_check.py --dry-run        # the same on a CPU with a tiny backbone: shows that it runs

Without --backbone the weights are random, saved in a temporary folder and loaded from there. It needs no Kedro.
Each precision is timed beside the published method in the same process; peak memory is printed beside the estimate of
`model/memory.py`. Resume: an undisturbed training and one that resumes from its middle checkpoint alone must give equal
bytes.
"""

import argparse
import gc
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from peers import Setting, build, environment, median
from synthetic import synthetic_series
from timellm_pipeline.errors import UserError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute, resolve_compute
from timellm_pipeline.model.memory import CONTEXT, GIB, BackboneSizes, needed_gib
from timellm_pipeline.parameters import BackboneParams, Parameters, parse_parameters
from timellm_pipeline.series.prepare import TrainingData, prepare
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model

LLAMA = {"hidden_size": 4096, "intermediate_size": 14_336, "num_attention_heads": 32, "num_key_value_heads": 8}
TINY = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}


def save_random_backbone(folder: Path, layers: int, tiny: bool) -> Path:
    """A Llama with random weights and a tokenizer of bytes."""
    torch.manual_seed(0)
    shape = TINY if tiny else LLAMA
    config = LlamaConfig(
        vocab_size=512 if tiny else 128_256,
        num_hidden_layers=layers,
        rope_parameters={"rope_theta": 500_000.0, "rope_type": "default"},
        bos_token_id=0,
        eos_token_id=1,
        **shape,
    )
    LlamaModel(config).to(torch.float16).save_pretrained(folder)
    alphabet = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


def measure(name: str, backbone: BackboneParams, compute: Compute, setting: Setting, rounds: int) -> dict[str, Any]:
    """Median seconds a step and peak GiB of one peer."""
    on_gpu = compute.device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    peer = build(name, setting, BackboneSource().load(backbone, compute), device=compute.device)
    optimizer = torch.optim.Adam(peer.weights(), lr=1e-3)
    peer.module.train()
    seconds = []
    for number in range(rounds + 2):
        which = torch.arange(number * 100, number * 100 + setting.batch_size).numpy()
        start = time.perf_counter()
        with compute.autocast():
            made, truth = peer.forward(which)
        loss = F.mse_loss(made.float(), truth)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if on_gpu:
            torch.cuda.synchronize()
        if number > 1:  # the first ones are a warm-up
            seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / GIB if on_gpu else float("nan")
    trained = sum(weight.numel() for weight in peer.weights())
    return {"seconds": median(seconds), "peak": peak, "trained": trained, "loss": loss.item()}


def print_steps(backbone: BackboneParams, setting: Setting, precisions: list[str], rounds: int) -> None:
    """Ours beside the published method in each precision, then ours with quantised weights."""
    print(f"\n{'':<34} {'precision':<10} {'s/step':>8} {'published/this':>15} {'peak GiB':>9} {'estimate':>11}")
    sizes = BackboneSizes.of(AutoConfig.from_pretrained(backbone.name))
    for precision in precisions:
        compute = resolve_compute(precision)  # type: ignore[arg-type]
        theirs = measure("reference", backbone, compute, setting, rounds)
        for bits in ("none", "8bit", "nf4"):
            chosen = backbone.model_copy(update={"quantization": bits})
            try:
                ours = measure("ours", chosen, compute, setting, rounds)
            except UserError as error:
                print(f"  ours, {bits:<26} {precision:<10} refused: {error.what}")
                continue
            estimate = float("nan")
            if precision != "no":
                layers = backbone.layers or sizes.layers
                estimate = needed_gib(sizes, layers, ours["trained"], quantization=bits, batch_size=setting.batch_size)
            label = "ours" if bits == "none" else f"ours, {bits}"
            ratio = theirs["seconds"] / ours["seconds"]
            print(
                f"  {label:<32} {precision:<10} {ours['seconds']:>8.4f} {ratio:>15.2f} {ours['peak']:>9.2f} "
                f"{estimate - CONTEXT:>11.2f}"
            )
            gc.collect()
        label, seconds, peak = "published method", theirs["seconds"], theirs["peak"]
        print(f"  {label:<32} {precision:<10} {seconds:>8.4f} {1:>15.2f} {peak:>9.2f}")


def small_training(backbone: BackboneParams, precision: str) -> tuple[TrainingData, Parameters]:
    """A training of 24 steps with a checkpoint every sixth."""
    parameters = parse_parameters(
        {
            "window": {"seq_len": 256, "pred_len": 96, "window_step": 8},
            "backbone": backbone.model_dump(),
            "model": {"d_ff": 32, "num_prototypes": 100},
            "training": {
                "batch_size": 2,
                "max_steps": 24,
                "save_steps": 6,
                "keep_checkpoints": 9,
                "validate_steps": 12,
                "log_steps": 6,
                "precision": precision,
                "deterministic": True,
            },
            "evaluation": {"validation_step": 200, "test_step": 200, "batch_size": 4},
        }
    )
    raw = synthetic_series(num_rows=3_000)
    raw["date"] = raw["date"].astype(str)
    return prepare(raw, parameters).training, parameters


def check_resume(backbone: BackboneParams, precision: str, folder: Path) -> bool:
    """Whether a training that is resumed from its middle gives the same bytes as one that was not interrupted."""
    data, parameters = small_training(backbone, precision)
    source, undisturbed, resumed = (
        BackboneSource(),
        CheckpointStore(folder / "full"),
        CheckpointStore(folder / "resumed"),
    )
    first = train_model(data, parameters, source, undisturbed, "full")
    run = undisturbed.run(first.record.training_id)
    middle = resumed.run(run.training_id).folder
    middle.mkdir(parents=True)
    shutil.copytree(run.folder / "step-000000012", middle / "step-000000012")
    second = train_model(data, parameters, source, resumed, "resumed")
    equal = all(torch.equal(weight, second.model.weights[name]) for name, weight in first.model.weights.items())
    facts = second.record
    print(
        f"  {precision:<6} resumed from step {facts.resumed_from}, {facts.steps_run} steps run here: "
        f"{'equal bytes' if equal else 'DIFFERENT'}; validation MSE {facts.validation_mse:.4f}"
    )
    return equal


def main() -> None:
    """Run all checks; the status says whether resume was exact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--backbone", help="real weights: a folder, or a hub id as ID@COMMIT")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dry-run", action="store_true", help="run on a CPU with a tiny backbone")
    options = parser.parse_args()
    if not (torch.cuda.is_available() or options.dry_run):
        raise SystemExit("no GPU was found; --dry-run runs the same checks on the CPU with a tiny backbone")
    precisions = ["no", "bf16"]
    if torch.cuda.is_available() and not options.dry_run:
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        precisions = ["no", *(["bf16"] if native else []), "fp16"]
        print(f"{torch.cuda.get_device_name()}, {torch.cuda.get_device_properties(0).total_memory / GIB:.1f} GiB")
    print(environment())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.backbone:
            name, _, commit = options.backbone.partition("@")
            backbone = BackboneParams(name=name, layers=options.layers, revisions={name: commit} if commit else {})
        else:
            place = save_random_backbone(folder / "llama", options.layers, options.dry_run)
            backbone = BackboneParams(name=str(place), layers=options.layers)
        setting = Setting(layers=options.layers, seq_len=256, batch_size=2)
        print(f"{backbone.name if options.backbone else 'random weights'}, {options.layers} layers, 256 -> 96, batch 2")
        print_steps(backbone, setting, precisions, options.rounds)
        print("\nresume from the middle checkpoint alone, compared with the undisturbed run")
        exact = [check_resume(backbone, precision, folder / precision) for precision in precisions]
    if not all(exact):
        raise SystemExit("resume was not exact")


if __name__ == "__main__":
    main()
