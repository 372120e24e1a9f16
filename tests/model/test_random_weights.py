"""Random weights keep the scale of a backbone and nothing that it has learned."""

from pathlib import Path

import torch

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.parameters import BackboneParams


def test_matrices_are_drawn_anew_at_their_scale_and_the_same_each_time(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    """Other weights in each process would break resume; another scale would be another ablation."""
    source, name = BackboneSource(tmp_path), str(backbones["llama"])
    pretrained = source.load(BackboneParams(name=name), Compute()).model.state_dict()
    one, other = (source.load(BackboneParams(name=name, weights="random"), Compute()).model for _ in range(2))
    for key, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[key]), key
        if weight.dim() > 1:
            assert abs(float(torch.corrcoef(torch.stack([weight.flatten(), pretrained[key].flatten()]))[0, 1])) < 0.2
            assert abs(float(weight.std() / pretrained[key].std()) - 1) < 0.1, key
        else:
            assert torch.equal(weight, pretrained[key]), key


def test_random_weights_are_another_backbone(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Their trainings must not share checkpoints; with pretrained weights no id changes."""
    source, name = BackboneSource(tmp_path), str(backbones["llama"])
    plain = source.identity(BackboneParams(name=name))
    assert "weights" not in plain
    assert source.identity(BackboneParams(name=name, weights="random")) == {**plain, "weights": "random"}
