"""Promises 1 and 2: a forecast depends on its window alone, and equals the published one where it should."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import DESCRIPTION, build, relative

from conftest import KINDS, random_windows, small_parameters
from reference import PublishedTimeLLM
from timellm_pipeline.errors import PromptError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.timellm import TimeLLM

PUBLISHED = {"significant_digits": None, "lags": "circular", "layout": "published", "statistics": "normalised"}


@pytest.mark.parametrize("prompt", [{}, PUBLISHED], ids=["default", "published"])
@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_a_forecast_is_the_same_alone_and_in_any_batch(
    backbones: dict[str, Path], tmp_path: Path, kind: str, prompt: dict
) -> None:
    """Without mask and positions a window's forecast would move with the length of its neighbours' prompts."""
    model = build(small_parameters(backbones.get(kind, "none"), prompt=prompt), tmp_path)
    windows = torch.from_numpy(random_windows(16, 48))
    with torch.no_grad():
        together = model(windows)
        shuffled = model(windows.flip(0)).flip(0)
        alone = torch.cat([model(windows[[row]]) for row in range(len(windows))])
    worst = max(relative(together, alone), relative(shuffled, alone))
    print(
        f"\npromise 1, {kind}, {'published' if prompt else 'default'} prompt: largest relative difference {worst:.1e}"
    )
    assert worst <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_an_imported_published_checkpoint_gives_the_published_forecasts(
    backbones: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """An unintended departure from the published arithmetic would hide in a retrained model."""
    parameters = small_parameters(backbones[kind], prompt=PUBLISHED, model={"prototypes": "vocabulary"})
    ours = build(parameters, tmp_path)
    loaded = BackboneSource(tmp_path).load(parameters.backbone, Compute())
    torch.manual_seed(7)
    window, model = parameters.window, parameters.model
    theirs = PublishedTimeLLM(
        loaded.model,
        loaded.tokenizer,
        DESCRIPTION,
        seq_len=window.seq_len,
        pred_len=window.pred_len,
        patch_len=window.patch_len,
        stride=window.stride,
        d_model=model.d_model,
        d_ff=model.d_ff,
        num_heads=model.num_heads,
        num_prototypes=model.num_prototypes,
        dropout=model.dropout,
    ).eval()
    ours.load_upstream_state_dict({f"module.{name}": value for name, value in theirs.state_dict().items()})
    windows = torch.from_numpy(random_windows(24, 48, seed=3))
    with torch.no_grad():
        worst = max(relative(ours(windows[[row]]), theirs(windows[[row]])) for row in range(len(windows)))
    print(f"\npromise 2, {kind}: largest relative difference {worst:.1e} over {len(windows)} windows, one at a time")
    assert worst <= 1e-5


def test_prompts_made_ahead_and_prompts_made_in_the_call_give_the_same_forecast(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    """Training makes them in worker processes, a notebook makes them in the call."""
    model = build(small_parameters(backbones["llama"]), tmp_path)
    windows = random_windows(5, 48)
    with torch.no_grad():
        in_the_call = model(torch.from_numpy(windows))
        ahead = model(torch.from_numpy(windows), model.writer.tokens(windows))
    assert torch.equal(in_the_call, ahead)
    np.testing.assert_array_equal(model.forecast_array(windows, 5), in_the_call.numpy().astype(np.float64))


def test_a_prompt_longer_than_the_backbones_positions_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Truncated prompts and positions beyond the table would be silently wrong, or fail hours later."""
    parameters = small_parameters(backbones["gpt2"])
    loaded = BackboneSource(tmp_path).load(parameters.backbone, Compute())
    with pytest.raises(PromptError, match="positions; the backbone has 512"):
        TimeLLM.around(parameters.window, parameters.prompt, parameters.model, loaded, "words " * 600)


def test_constant_windows_give_finite_forecasts(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A stuck sensor divides by a spread of zero."""
    model = build(small_parameters(backbones["llama"]), tmp_path)
    with torch.no_grad():
        forecast = model(torch.from_numpy(np.full((3, 48), 2.5, dtype=np.float32)))
    assert torch.isfinite(forecast).all()
