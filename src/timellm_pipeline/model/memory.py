"""Estimate of the GPU memory of a training run, computed before anything is loaded.

The estimate contains the frozen weights, the trainable weights with gradient, Adam's two moments and the moving average
in float32, the keys and values of the prompt, and the activations that the forward pass over the patches saves for the
backward pass.
It reserves the CUDA context, and a tenth of the GPU for fragmentation and for grouped keys and values, which a GPU
copies for each head (0.2 GiB at 32 layers). `benchmarks/gpu_check.py` compares the estimate with measured memory.

With `workers.shard: layers` each worker keeps a part of every layer and gathers complete layers while they run. All
other parts of the sum are complete on each worker. FSDP2 may keep the buffer of one more layer until it is reused; the
reserved tenth covers it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HALF = 2.0  # bytes of a 16-bit number
TRAINED = 20  # bytes per trainable weight: value, gradient, two moments and the moving average, each float32
BYTES = {  # per weight of the linear layers, by quantization
    "none": HALF,
    "8bit": 1.0,
    "nf4": 0.5
    + 1 / 64
    + 4 / (64 * 256),  # one byte per 64 weights, one float32 per 256 such bytes (double quantization)
}
CONTEXT = 1.0  # GiB: CUDA, cuBLAS and their workspaces
USABLE = 0.9
GATHERED = 2  # complete layers beside the shared parts: FSDP2 gathers a layer while the one before it runs
GIB = 2**30
GPUS = {
    "16 GB without native bf16 (T4)": 14.7,
    "24 GB (L4, A10)": 22.0,
    "40 GB (A100)": 39.4,
    "80 GB (A100, H100)": 79.1,
}


@dataclass(frozen=True)
class BackboneSizes:
    """Sizes of a Llama-like backbone that determine its memory.

    Attributes:
        vocabulary: number of tokens.
        width: hidden size.
        layers: number of layers.
        feed_forward: intermediate size of the feed-forward layers.
        kv_width: key-value heads times head size.
    """

    vocabulary: int
    width: int
    layers: int
    feed_forward: int
    kv_width: int

    @classmethod
    def of(cls, config: Any) -> "BackboneSizes":
        """Sizes of a transformers model, from its config."""
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            vocabulary=config.vocab_size,
            width=config.hidden_size,
            layers=config.num_hidden_layers,
            feed_forward=config.intermediate_size,
            kv_width=head * config.num_key_value_heads,
        )

    @property
    def linear(self) -> int:
        """Number of weights of the linear maps of a layer: query and output, key and value, gate, up and down."""
        return 2 * self.width**2 + 2 * self.width * self.kv_width + 3 * self.width * self.feed_forward

    def frozen_weights(self, layers: int) -> int:
        """Number of weights of the embeddings, the first `layers` layers and the norms."""
        return self.vocabulary * self.width + layers * (self.linear + 2 * self.width) + self.width

    def layer_bytes(self, quantization: str = "none") -> float:
        """Bytes of a layer: 16 bits per weight, except for quantised linear maps."""
        return BYTES[quantization] * self.linear + HALF * 2 * self.width

    def frozen_bytes(self, layers: int, quantization: str = "none", shards: int = 1) -> float:
        """Bytes of the frozen weights on each GPU. Embeddings and final norm are complete on all of them.

        Args:
            layers: layers of the backbone.
            quantization: `none`, `8bit` or `nf4`.
            shards: number of workers that share the layers. Quantised layers cannot be shared.
        """
        assert shards == 1 or quantization == "none", "quantised layers cannot be shared"
        gathered = 0 if shards == 1 else min(GATHERED, layers)
        return HALF * self.frozen_weights(0) + (layers / shards + gathered) * self.layer_bytes(quantization)

    def step_bytes(self, layers: int, batch_size: int, prompt: int, patches: int) -> float:
        """Bytes of the saved activations and of the key-value cache of a training step.

        Args:
            layers: layers of the backbone.
            batch_size: windows per batch.
            prompt: tokens per prompt.
            patches: patches per window.
        """
        states = batch_size * patches * (2 * self.feed_forward + 6 * self.width)
        keys_values = (
            batch_size * (2 * prompt + patches) * 2 * self.kv_width
        )  # of the prompt, and joined with those of the patches
        return HALF * layers * (states + keys_values)


LLAMA_3_8B = BackboneSizes(vocabulary=128_256, width=4_096, layers=32, feed_forward=14_336, kv_width=1_024)
LLAMA_3_70B = BackboneSizes(vocabulary=128_256, width=8_192, layers=80, feed_forward=28_672, kv_width=1_024)


def needed_gib(
    backbone: BackboneSizes,
    layers: int,
    trainable: int,
    *,
    quantization: str = "none",
    batch_size: int = 2,
    prompt: int = 200,
    patches: int = 32,
    shards: int = 1,
) -> float:
    """Estimated GPU memory of a training run in GiB, including the CUDA context; with several workers, of each GPU.

    Args:
        backbone: sizes of the backbone.
        layers: layers of the backbone that are loaded.
        trainable: number of trainable weights.
        quantization: `none`, `8bit` or `nf4`.
        batch_size: windows per batch.
        prompt: tokens per prompt.
        patches: patches per window.
        shards: number of workers that share the layers (`workers.shard: layers`); 1: the layers are not shared.
    """
    frozen = backbone.frozen_bytes(layers, quantization, shards)
    return CONTEXT + (frozen + TRAINED * trainable + backbone.step_bytes(layers, batch_size, prompt, patches)) / GIB


def layers_that_fit(gpu_gib: float, backbone: BackboneSizes, trainable: int, **step: Any) -> int:
    """Largest number of layers, a multiple of 4, that fits on a GPU with `gpu_gib` GiB; 0 if 4 layers do not fit.

    `step` are the keyword arguments of `needed_gib`.
    """
    for layers in range(backbone.layers - backbone.layers % 4, 0, -4):
        if needed_gib(backbone, layers, trainable, **step) <= USABLE * gpu_gib:
            return layers
    return 0


def memory_table(backbone: BackboneSizes, trainable: int, **step: Any) -> str:
    """Markdown table of the layers that fit on each GPU in 16, 8 and 4 bits, with their memory in GiB."""
    rows = ["| GPU | 16-bit | 8bit | nf4 |", "|---|---|---|---|"]
    for name, gib in GPUS.items():
        cells = []
        for bits in BYTES:
            layers = layers_that_fit(gib, backbone, trainable, quantization=bits, **step)
            cells.append(
                f"{layers} layers, {needed_gib(backbone, layers, trainable, quantization=bits, **step):.1f} GiB"
            )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def smallest_gpu(gib: float) -> str:
    """The smallest of `GPUS` with this much usable memory in GiB, or `none of these GPUs`."""
    return next((name for name, size in GPUS.items() if gib <= USABLE * size), "none of these GPUs")


def shards_table(backbones: Mapping[str, tuple[BackboneSizes, int]], **step: Any) -> str:
    """Markdown table of GiB per GPU if 1, 2, 4 or 8 workers share all layers in 16 bits, and the smallest GPU for it.

    Args:
        backbones: sizes, and number of trainable weights, of each backbone by its name.
        step: keyword arguments of `needed_gib`.
    """
    rows = [f"| GPUs | {' | '.join(backbones)} |", "|---" * (1 + len(backbones)) + "|"]
    for shards in (1, 2, 4, 8):
        needed = [needed_gib(sizes, sizes.layers, count, shards=shards, **step) for sizes, count in backbones.values()]
        rows.append(f"| {shards} | {' | '.join(f'{gib:.1f} GiB: {smallest_gpu(gib)}' for gib in needed)} |")
    return "\n".join(rows)


def settings_for(
    gpu_gib: float, native_bf16: bool, backbone: BackboneSizes, trainable: int, **step: Any
) -> dict[str, Any]:
    """Parameters for a GPU: its precision, and the largest number of 16-bit layers that fits.

    They affect the result. Store them with the checkpoints, so that a run on another GPU resumes the same training.
    """
    return {
        "training.precision": "bf16" if native_bf16 else "fp16",
        "backbone.layers": layers_that_fit(gpu_gib, backbone, trainable, **step),
    }
