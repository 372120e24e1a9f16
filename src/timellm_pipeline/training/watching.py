"""Status of a training, read only from its checkpoint folder: another process or another machine may be training."""

import html
import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from timellm_pipeline.durations import format_duration
from timellm_pipeline.errors import CheckpointError, StorageError, escape
from timellm_pipeline.files import write_atomic
from timellm_pipeline.plots.training import plot_history
from timellm_pipeline.training.checkpoint import STEP
from timellm_pipeline.training.history import HEADER, read_history

RECENT = 20  # newest rows whose median is the speed


@dataclass(frozen=True)
class RunStatus:
    """The status of a run, read from its folder.

    Attributes:
        history: the rows so far.
        max_steps: maximum steps of the run, or None for a run of a version that did not record it.
        age: seconds since the history was written.
        checkpoints: steps that have a checkpoint.
        finished: facts of the finished run, or None.
    """

    folder: Path
    history: pd.DataFrame
    max_steps: int | None
    age: float
    checkpoints: list[int]
    finished: dict[str, Any] | None

    @property
    def step(self) -> int:
        """The newest step in the history, 0 without rows."""
        return 0 if self.history.empty else int(self.history["step"].iloc[-1])

    @property
    def seconds_per_step(self) -> float:
        """Seconds per step: median of the newest rows."""
        return float(self.history["seconds_per_step"].tail(RECENT).median())

    @property
    def alpha(self) -> float | None:
        """Weight of the correction of a finished run; None before that, and for Time-LLM alone."""
        found = (self.finished or {}).get("alpha")
        if not isinstance(found, dict) or found.get("comparison") is None:
            return None
        return float(found["alpha"]) if isinstance(found.get("alpha"), int | float) else None

    def line(self) -> str:
        """The status as one line: position, errors, speed, time left, newest checkpoint."""
        if self.history.empty:
            return f"no step yet · started {format_duration(self.age)} ago · {escape(self.folder)}"
        total = "" if self.max_steps is None else f"/{self.max_steps:,}"
        facts = [f"step {self.step:,}{total}", f"epoch {self.history['epoch'].iloc[-1]}"]
        facts.append(f"loss {self.history['loss'].iloc[-1]:.4f}")
        validated = self.history["validation_mse"].dropna()
        if len(validated):
            best = self.history["step"].iloc[int(self.history["validation_mse"].argmin())]
            facts.append(f"best validation MSE {validated.min():.4f} (step {best:,})")
        facts.append(f"{self.seconds_per_step:.3g} s/it")
        if self.finished is not None:
            facts.append(f"finished: {escape(self.finished.get('stop_reason'))[:40]}")
            if (alpha := self.alpha) is not None:
                facts.append(f"alpha {alpha:.3f}" if alpha else "alpha 0: the linear part forecasts alone")
        else:
            if self.max_steps is not None:
                facts.append(f"{format_duration((self.max_steps - self.step) * self.seconds_per_step)} left")
            facts.append(f"newest row {format_duration(self.age)} ago")
        facts.append(f"newest checkpoint {self.checkpoints[-1]:,}" if self.checkpoints else "no checkpoint yet")
        return " · ".join(facts)

    def figure(self) -> Any:
        """A plotly figure of loss and validation so far, with a tick for each checkpoint and `line()` as title."""
        figure = plot_history(self.history)
        facts = html.escape(self.line()).split(" · ")
        figure.update_layout(title_text=f"{' · '.join(facts[:3])}<br><sup>{' · '.join(facts[3:])}</sup>")
        figure.update_layout(title_pad_b=44, margin_t=120)
        figure.add_scatter(
            x=self.checkpoints,
            y=[0] * len(self.checkpoints),
            yaxis="y2",
            mode="markers",
            name="checkpoint",
            marker={"symbol": "line-ns-open", "size": 12, "color": "#3a9d6e"},
        )
        figure.update_layout(yaxis2={"overlaying": "y", "range": [-0.02, 1], "visible": False})
        if self.max_steps is not None:
            figure.update_xaxes(range=[0, self.max_steps * 1.02])
        return figure


def read_status(root: Path, training_id: str | None = None) -> RunStatus:
    """The status of the run with that training id (its first digits are enough), or of the most recently active run.

    Raises CheckpointError when there is no such run.
    """
    matches = [path for path in _folders(root) if path.name.startswith(training_id or "") and path.name[:1] != "."]
    runs = {folder: _last_activity(folder) for folder in matches if (folder / "run.json").exists()}
    if not runs:
        raise CheckpointError(
            f"there is no training {training_id or ''}".rstrip() + " in this folder",
            where=str(root),
            do="use the folder that `kedro run` logs when training starts: --root PATH",
        )
    folder = max(runs, key=lambda folder: runs[folder])
    max_steps = (_read_json(folder / "run.json") or {}).get("max_steps")
    return RunStatus(
        folder=folder,
        history=_read_live_history(folder / "history.csv"),
        max_steps=max_steps if isinstance(max_steps, int) else None,
        age=max(time.time() - runs[folder], 0),
        checkpoints=sorted(
            int(path.name.removeprefix("step-")) for path in _folders(folder) if STEP.fullmatch(path.name)
        ),
        finished=_read_json(folder / "finished.json"),
    )


def write_page(status: RunStatus, path: Path, refresh: int) -> None:
    """Write the figure as an HTML page that works offline and reloads every `refresh` seconds until training ends.

    Raises StorageError when `path` is a folder.
    """
    refresh_tag = "" if status.finished is not None else f'<meta http-equiv="refresh" content="{refresh}">'
    now = datetime.now().strftime("%H:%M:%S")
    body = status.figure().to_html(include_plotlyjs=True, full_html=False)
    head = f'<!doctype html><meta charset="utf-8">{refresh_tag}<title>step {status.step:,}</title>'
    if path.is_dir():
        raise StorageError("the page is a folder", where=str(path), do="use the name of a file: --page watch.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, f"{head}{body}<p>{now} · {html.escape(escape(status.folder))}".encode())


def _last_activity(folder: Path) -> float:
    """Time stamp at which the run was started, resumed, or last wrote a row."""
    return max(path.stat().st_mtime for path in (folder / "run.json", folder / "history.csv") if path.exists())


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except FileNotFoundError:
        return []


def _read_live_history(path: Path) -> pd.DataFrame:
    """The history without a row that is being written. Raises CheckpointError for a file that is no history."""
    content = path.read_bytes() if path.exists() else b""
    try:
        text = content.decode("utf-8")
        history = read_history(text[: text.rfind("\n") + 1] or HEADER)
        numbers = history[HEADER.strip().split(",")].apply(pd.to_numeric)
    except (ValueError, KeyError, TypeError) as error:  # pandas' parser errors are ValueErrors
        raise CheckpointError(
            f"this is not the history of a training: {str(error).splitlines()[0]}",
            where=str(path),
            do="use the folder that training logs when it starts: --root PATH",
        ) from error
    return numbers


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None
