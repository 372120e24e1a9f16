"""What a checkpoint costs: its size, the seconds to write it, and the share of training that `save_steps` takes.

    python benchmarks/checkpoint_cost.py [--save-steps 1000] [--folder PATH]

Sizes are compared with what the published code saves: the full state dict, including the backbone.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from peers import Peer, build, environment, load_backbone, median, parser, setting_of
from step_time import step
from timellm_pipeline.model.network import Network
from timellm_pipeline.training.checkpoint import CheckpointStore


def folder_size(path: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def measure(peer: Peer, folder: Path, rounds: int) -> tuple[int, int, float, float]:
    """Bytes of the model file and of a checkpoint, seconds to write a checkpoint, seconds a step."""
    assert isinstance(peer.module, Network)
    optimizer = torch.optim.Adam(peer.weights(), lr=1e-3)
    peer.module.train()
    steps, saves = [], []
    run = CheckpointStore(folder).run(peer.name)
    run.open({})
    history = "step,loss\n" * 300
    for number in range(1, rounds + 2):
        started = time.perf_counter()
        step(peer, optimizer, np.arange(number * 8, number * 8 + 8))
        steps.append(time.perf_counter() - started)
        state = {"optimizer": optimizer.state_dict()}
        started = time.perf_counter()
        path = run.save(number, peer.module.trainables(), state, history, content={}, keep=2, best_step=None)
        saves.append(time.perf_counter() - started)
    return (path / "trainable.safetensors").stat().st_size, folder_size(path), median(saves[1:]), median(steps[1:])


def main() -> None:
    """Print the table."""
    made = parser(__doc__)
    made.add_argument("--save-steps", type=int, default=1000)
    made.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    options = made.parse_args()
    setting = setting_of(options)
    print(f"{environment()}\nSmolLM2 {setting.layers} layers, {setting.seq_len} -> {setting.pred_len}, float32")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        published = build("reference", setting, load_backbone(setting))
        torch.save(published.module.state_dict(), folder / "published.pt")
        theirs = (folder / "published.pt").stat().st_size
        print(f"published code's state dict, including the backbone: {theirs / 1e6:.1f} MB")
        del published
        print("\nprototypes   model MB  published/ours  checkpoint MB  published/ours  s to write  share of training")
        for peer_name, prototypes in (("ours", "free"), ("equal", "vocabulary")):
            peer = build(peer_name, setting, load_backbone(setting))
            model, checkpoint, seconds, a_step = measure(peer, folder, options.rounds)
            share = seconds / (options.save_steps * a_step + seconds)
            print(
                f"{prototypes:<11}  {model / 1e6:>8.2f}  {theirs / model:>14.1f}  {checkpoint / 1e6:>13.2f}  "
                f"{theirs / checkpoint:>14.1f}  {seconds:>10.3f}  {100 * share:.4f} % at save_steps "
                f"{options.save_steps} ({a_step:.2f} s/step)"
            )


if __name__ == "__main__":
    main()
