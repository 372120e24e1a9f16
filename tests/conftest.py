"""Tiny backbones that are really saved and loaded, a small series, and the shortest parameters that train.

Nothing here reaches a network: hub access is switched off for the whole suite. Everything computes with one thread,
also in processes that tests start: on matrices this small threads cost more than they save, and a hundred times as
much while another program uses the processors. The fixture `several_threads` is for tests about more.
"""

import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthetic import synthetic_series
from timellm_pipeline.parameters import DataParams, Parameters, WindowParams, parse_parameters
from timellm_pipeline.series.panel import Panel, Source
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.prepare import TrainingData, index, plan, prepare, split
from timellm_pipeline.series.validation import Wanted, validate_series

ROOT = Path(__file__).parents[1]
KINDS = ("llama", "gpt2", "bert")


@pytest.fixture(scope="session", autouse=True)
def _modules_are_no_garbage() -> Iterator[None]:
    """Leave what was imported out of each garbage collection: the loading of a backbone begins with one."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def several_threads() -> Iterator[int]:
    """Compute with three threads, whatever the machine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def raw_series() -> pd.DataFrame:
    """400 synthetic hours with seven channels, as read from a file."""
    frame = synthetic_series(num_rows=400, seed=1)
    frame["date"] = frame["date"].astype(str)
    return frame


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a tiny random Llama, GPT-2 and BERT with a tokenizer, by kind.

    Weights are drawn wide (0.2), so that attention matters: with the usual 0.02 a wrong mask would hardly show.
    """
    import torch
    from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, LlamaConfig, LlamaModel

    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    shape = {"vocab_size": 512, "initializer_range": 0.2}
    models = {
        "llama": LlamaModel(
            LlamaConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                **shape,
            )
        ),
        "gpt2": GPT2Model(GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=512, **shape)),
        "bert": BertModel(
            BertConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=512,
                **shape,
            )
        ),
    }
    for kind, model in models.items():
        model.save_pretrained(folder / kind)
        make_tokenizer(bert=kind == "bert").save_pretrained(folder / kind)
    return {kind: folder / kind for kind in KINDS}


def make_tokenizer(bert: bool) -> Any:
    """A byte-level BPE tokenizer of 512 entries; BERT's frames a text with special tokens as the real one does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = "Dataset: Task: forecast the next steps from previous input statistics minimum maximum median trend upward"
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["[CLS]", "[SEP]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([words, "value min max lags are series channels hourly"], trainer)
    if bert:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def small_parameters(backbone: Path | str = "none", **groups: dict[str, Any]) -> Parameters:
    """Parameters of a training of a few seconds; `groups` override single values."""
    base: dict[str, dict[str, Any]] = {
        "window": {"seq_len": 48, "pred_len": 12, "window_step": 3, "patch_len": 8, "stride": 4},
        "backbone": {"name": str(backbone)},
        "model": {"linear": "plain", "num_prototypes": 20, "d_model": 8, "d_ff": 8, "num_heads": 2},
        "training": {"batch_size": 8, "max_steps": 12, "save_steps": 4, "validate_steps": 6, "log_steps": 3},
        "evaluation": {"validation_step": 6, "test_step": 6, "batch_size": 16},
    }
    for name, values in groups.items():
        base[name] = {**base.get(name, {}), **values}
    return parse_parameters(base)


def make_inputs(raw: pd.DataFrame, parameters: Parameters) -> TrainingData:
    """What the data pipeline hands to training."""
    return prepare(raw, parameters).training


def make_panel(columns: dict[str, Any], frequency: str = "h", start: str = "2020-01-01", **facts: Any) -> Panel:
    """A panel of series of one length."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    return Panel.from_columns(arrays, frequency=frequency, start=pd.Timestamp(start), **facts)


def random_windows(num_windows: int, seq_len: int, seed: int = 0) -> np.ndarray:
    """Random walks of different levels and spreads, so that their prompts differ in length."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.01, 30, size=(num_windows, 1))
    return (rng.standard_normal((num_windows, seq_len)).cumsum(axis=1) * spread).astype(np.float32)


def check(
    frame: pd.DataFrame, data: DataParams | None = None, window: WindowParams | None = None, path: str = "a.csv"
) -> Panel:
    """The checked series of a table, as if it had been read from a file."""
    wanted = Wanted.for_training(window or WindowParams())
    return validate_series(frame, Source(path, "0" * 64, len(frame)), data or DataParams(), wanted)


def plan_rows(num_rows: int, channels: list[str], parameters: Parameters) -> RunPlan:
    """The run plan of so many rows, whatever their values are."""
    window, evaluation = parameters.window, parameters.evaluation
    panel = make_panel({name: np.zeros(num_rows, dtype=np.float32) for name in channels})
    borders = split(panel, parameters.split, window, evaluation)
    windows = index(panel.select(borders.channels), borders, window, evaluation)
    return plan(windows, borders, window, parameters.training, evaluation)
