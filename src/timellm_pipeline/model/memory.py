"""What a training needs of a GPU's memory, by arithmetic, before anything is loaded.

Counted: the frozen weights, the trained ones with gradient and Adam's two moments in float32, the prompt's keys and
values, and what the pass over the patches keeps for its backward. Allowed for: the CUDA context, and a tenth of the
GPU for what fragments and for grouped keys and values, which a GPU copies for each head (0.2 GiB at 32 layers).
`benchmarks/gpu_check.py` sets it beside what a GPU really takes.
"""

from dataclasses import dataclass
from typing import Any

HALF = 2.0  # bytes of a 16-bit number
TRAINED = 16  # bytes of a trained weight: itself, its gradient, two moments, each float32
BYTES = {  # of a weight of the linear layers
    "none": HALF,
    "8bit": 1.0,
    "nf4": 0.5 + 1 / 64 + 4 / (64 * 256),  # a byte for 64 weights, float32 for 256 such bytes (double quantisation)
}
CONTEXT = 1.0  # GiB: CUDA, cuBLAS and their workspaces
USABLE = 0.9
GIB = 2**30
GPUS = {
    "16 GB without native bf16 (T4)": 14.7,
    "24 GB (L4, A10)": 22.0,
    "40 GB (A100)": 39.4,
    "80 GB (A100, H100)": 79.1,
}


@dataclass(frozen=True)
class BackboneSizes:
    """The numbers of a Llama-like backbone that its memory follows from."""

    vocabulary: int
    width: int
    layers: int
    feed_forward: int
    kv_width: int

    @classmethod
    def of(cls, config: Any) -> "BackboneSizes":
        """From the config of a transformers model."""
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
        """Weights of a layer's linear maps: queries and output, keys and values, gate, up and down."""
        return 2 * self.width**2 + 2 * self.width * self.kv_width + 3 * self.width * self.feed_forward

    def frozen_weights(self, layers: int) -> int:
        """All weights of the first `layers` layers, embeddings and norms."""
        return self.vocabulary * self.width + layers * (self.linear + 2 * self.width) + self.width

    def frozen_bytes(self, layers: int, quantization: str = "none") -> float:
        """Bytes of the same, in 16 bits but for quantised linear maps."""
        linear = layers * self.linear
        return HALF * (self.frozen_weights(layers) - linear) + BYTES[quantization] * linear

    def step_bytes(self, layers: int, batch_size: int, prompt: int, patches: int) -> float:
        """Bytes that a training step keeps, for prompts of so many tokens and so many patches a window."""
        states = batch_size * patches * (2 * self.feed_forward + 6 * self.width)
        keys_values = batch_size * (2 * prompt + patches) * 2 * self.kv_width  # the prompt's own, and joined
        return HALF * layers * (states + keys_values)


LLAMA_3_8B = BackboneSizes(vocabulary=128_256, width=4_096, layers=32, feed_forward=14_336, kv_width=1_024)


def needed_gib(
    backbone: BackboneSizes,
    layers: int,
    trainable: int,
    *,
    quantization: str = "none",
    batch_size: int = 2,
    prompt: int = 200,
    patches: int = 32,
) -> float:
    """GiB that a training takes, the CUDA context included.

    Args:
        trainable: number of trained weights.
        prompt: tokens of a prompt.
        patches: patches of a window.
    """
    frozen = backbone.frozen_bytes(layers, quantization)
    return CONTEXT + (frozen + TRAINED * trainable + backbone.step_bytes(layers, batch_size, prompt, patches)) / GIB


def layers_that_fit(gpu_gib: float, backbone: BackboneSizes, trainable: int, **step: Any) -> int:
    """The most layers, in fours, that train on a GPU of that memory; 0 if not even four do."""
    for layers in range(backbone.layers - backbone.layers % 4, 0, -4):
        if needed_gib(backbone, layers, trainable, **step) <= USABLE * gpu_gib:
            return layers
    return 0


def memory_table(backbone: BackboneSizes, trainable: int, **step: Any) -> str:
    """Markdown: how many layers fit which GPU in 16, 8 and 4 bits, and the GiB that they take."""
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


def settings_for(
    gpu_gib: float, native_bf16: bool, backbone: BackboneSizes, trainable: int, **step: Any
) -> dict[str, Any]:
    """Parameters for the GPU that was found: its precision and as many 16-bit layers as fit.

    They decide the result. Keep them with the checkpoints: another GPU tomorrow must not begin another training.
    """
    return {
        "training.precision": "bf16" if native_bf16 else "fp16",
        "backbone.layers": layers_that_fit(gpu_gib, backbone, trainable, **step),
    }
