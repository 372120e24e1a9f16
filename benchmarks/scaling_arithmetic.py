"""Expected speed of several workers by arithmetic: the traffic of an update against the time of its steps.

    python benchmarks/scaling_arithmetic.py [--batch-size 8] [--accumulate 8] [--prompt 200] [--patches 32]
                                            [--utilisation 0.4]

It prints the tables of docs/scale-out.md. Nothing in them is measured. To change other assumptions, edit the constants.

A step of Llama 3 8B has three passes: the prompt forward, the patches forward, and the patches backward to their inputs
(frozen weights need no gradients). Each needs two operations per weight and token. Attention scores, the trainable
layers, the optimizer and validation are left out. `training/gradients.py` exchanges gradients after the last step of an
update, so that time is added. With `workers.shard: layers` every pass gathers all layers. If gathering overlaps with
computing, a pass takes the longer of both times, otherwise their sum.
"""

import argparse
import math
from dataclasses import dataclass
from typing import Any

from timellm_pipeline.model.memory import LLAMA_3_8B, BackboneSizes
from timellm_pipeline.model.sizes import trainable_count
from timellm_pipeline.parameters import ModelParams, WindowParams

PEAKS = {"A100": 312e12, "H100": 989e12}  # dense bf16 operations per second
NVLINK_3, NVLINK_4, PCIE, NETWORK = "NVLink 3", "NVLink 4", "PCIe 4.0 x16", "100 Gbit/s network"
RATES = {NVLINK_4: 300e9, NVLINK_3: 200e9, PCIE: 25e9, NETWORK: 10e9}  # effective bytes per second and direction
MACHINES = [(gpu, link) for gpu, nvlink in (("A100", NVLINK_3), ("H100", NVLINK_4)) for link in (nvlink, PCIE, NETWORK)]
WORKERS = (2, 4, 8)
WINDOW = WindowParams(seq_len=256, pred_len=96)


@dataclass(frozen=True)
class Work:
    """The work of an update.

    Attributes:
        backbone: sizes of the backbone; all of its layers are used.
        batch_size: windows per step.
        accumulate: steps per update.
        prompt: tokens per prompt that run in each step.
        patches: patches per window.
        utilisation: share of the peak operations per second that is reached.
    """

    backbone: BackboneSizes = LLAMA_3_8B
    batch_size: int = 8
    accumulate: int = 8
    prompt: int = 200
    patches: int = WINDOW.patches_per_window
    utilisation: float = 0.4

    @property
    def layer_bytes(self) -> float:
        """Bytes of all layers in 16 bits."""
        return self.backbone.layers * self.backbone.layer_bytes()

    def passes(self, gpu: str) -> list[float]:
        """Seconds of the three passes of a step."""
        token = 2 * self.backbone.layers * self.backbone.linear / (self.utilisation * PEAKS[gpu])
        return [self.batch_size * tokens * token for tokens in (self.prompt, self.patches, self.patches)]

    def gradient_bytes(self, prototypes: str) -> int:
        """Bytes of the float32 gradients with the default parameters and these prototypes."""
        model = ModelParams.model_validate({"prototypes": prototypes})
        return 4 * trainable_count(WINDOW, model, (self.backbone.vocabulary, self.backbone.width))

    def exchanged_bytes(self, prototypes: str, workers: int) -> float:
        """Bytes that a worker sends in an update: gradients once for each round of steps, then the sum once.

        With one round this is the traffic of a ring all-reduce, 2 (workers - 1) / workers times the gradients.
        """
        rounds = math.ceil(self.accumulate / workers)
        return (rounds + 1) * (workers - 1) / workers * self.gradient_bytes(prototypes)

    def gathered_bytes(self, workers: int) -> float:
        """Bytes that a worker receives in one pass if the layers are shared."""
        return (workers - 1) / workers * self.layer_bytes

    def efficiency(
        self, gpu: str, link: str, workers: int, *, prototypes: str = "free", shard: bool = False, overlap: bool = True
    ) -> float:
        """Time of an update of one worker with complete layers, over `workers` times that of `workers` workers."""
        passes = self.passes(gpu)
        gather = self.gathered_bytes(workers) / RATES[link] if shard else 0.0
        step = sum(max(one, gather) if overlap else one + gather for one in passes)
        update = math.ceil(self.accumulate / workers) * step + self.exchanged_bytes(prototypes, workers) / RATES[link]
        return self.accumulate * sum(passes) / (workers * update)

    def hidden_from(self, gpu: str, link: str, workers: int) -> int:
        """Windows per step from which a pass over the patches takes as long as gathering the layers."""
        return math.ceil(self.gathered_bytes(workers) / RATES[link] / self.passes(gpu)[1] * self.batch_size)


def traffic_table(work: Work, workers: int = 8) -> str:
    """Markdown table of the traffic of one worker in an update, and its milliseconds on each link."""
    rounds = math.ceil(work.accumulate / workers)
    traffic = {
        "gradients, `free` prototypes": work.exchanged_bytes("free", workers),
        "gradients, `vocabulary` prototypes": work.exchanged_bytes("vocabulary", workers),
        "layers, `workers.shard: layers`": 3 * rounds * work.gathered_bytes(workers),
    }
    links = [f"{link}, {rate / 1e9:.0f} GB/s" for link, rate in RATES.items()]
    rows = [f"| traffic | GB | {' | '.join(links)} |", "|---" * (2 + len(links)) + "|"]
    for name, size in traffic.items():
        times = [_three_digits(1e3 * size / rate) for rate in RATES.values()]
        rows.append(f"| {name} | {_three_digits(size / 1e9)} | {' | '.join(f'{time} ms' for time in times)} |")
    return "\n".join(rows)


def efficiency_table(work: Work) -> str:
    """Markdown table of the strong-scaling efficiency of 2, 4 and 8 workers in percent, rounded down."""
    columns: dict[str, dict[str, Any]] = {
        "`free`": {},
        "`vocabulary`": {"prototypes": "vocabulary"},
        "`shard: layers`, overlap": {"shard": True},
        "`shard: layers`, no overlap": {"shard": True, "overlap": False},
    }
    rows = [f"| GPU | link | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    for gpu, link in MACHINES:
        cells = []
        for options in columns.values():
            shares = [math.floor(100 * work.efficiency(gpu, link, workers, **options)) for workers in WORKERS]
            cells.append(" / ".join(map(str, shares)) + " %")
        rows.append(f"| {gpu} | {link} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _three_digits(number: float) -> str:
    """A number with three significant digits, without an exponent."""
    return f"{number:.{max(0, 2 - math.floor(math.log10(number)))}f}"


def main() -> None:
    """Print the assumptions and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Work()
    for name in ("batch_size", "accumulate", "prompt", "patches"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(defaults, name))
    parser.add_argument("--utilisation", type=float, default=defaults.utilisation)
    work = Work(**vars(parser.parse_args()))
    print("Arithmetic, not measured.", work, sep="\n")
    for prototypes in ("free", "vocabulary"):
        print(f"gradients with {prototypes} prototypes: {work.gradient_bytes(prototypes) / 1e6:.0f} MB")
    print(f"layers: {work.layer_bytes / 1e9:.2f} GB")
    for gpu in PEAKS:
        parts = ", ".join(f"{1e3 * one:.1f}" for one in work.passes(gpu))
        print(f"a step on a {gpu}: {1e3 * sum(work.passes(gpu)):.1f} ms (prompt, patches, backward: {parts} ms)")
    print(f"\n8 workers, traffic of one worker in an update\n\n{traffic_table(work)}")
    print(f"\nstrong-scaling efficiency of {' / '.join(map(str, WORKERS))} workers\n\n{efficiency_table(work)}\n")
    for gpu, link in MACHINES:
        print(f"{gpu}, {link}, 8 workers: gathering is hidden from batch size {work.hidden_from(gpu, link, 8)}")


if __name__ == "__main__":
    main()
