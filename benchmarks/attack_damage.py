"""Damaged files of a data root, with every command that meets them; and what commands must give in such states."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attack_files import forecast_numbers, need, sha
from attack_harness import EASY, SMALL, Case, Place
from attack_process import FINAL, Outcome
from attack_states import series, weights

COMMANDS = ("data", "train", "evaluate", "forecast", "publish", "retrain", "rollback", "watch")
MODELS, STORE = "06_models/timellm_model", "06_models/checkpoints"


def store(place: Place) -> Path:
    """The folder of the newest training."""
    folders = [path.parent for path in (place.root / STORE).glob("*/run.json")]
    return max(folders, key=lambda folder: (folder / "run.json").stat().st_mtime)


def command(place: Place, name: str, state: str = "", **options: Any) -> Outcome:
    """One of COMMANDS with the settings of its state."""
    if name == "watch":
        return place.watch()
    base = EASY if name in ("retrain", "rollback") or state == "champions" else SMALL
    return place.run(name, base=base, **options)


def sane(place: Place, name: str, outcome: Outcome, facts: dict[str, Any]) -> None:
    """Three lines, or success with the results that undamaged files give."""
    if outcome.status:
        outcome.new = []  # a result may have been published before a later one could not be
    place.either(outcome)
    if outcome.status == 0 and name in FINAL:
        need(bool(outcome.new), f"status 0, and there is no new version of {FINAL[name]}")
        if name == "forecast":
            numbers = forecast_numbers(place.root / FINAL[name] / max(outcome.new) / "forecast.csv")
            known = [value for key, value in facts.items() if key.startswith("forecast")]
            need(any(close(numbers, one) for one in known), "another forecast than any model here gives")
        elif name == "evaluate" and "mse" in facts:
            metrics = json.loads(place.newest(FINAL[name]).read_text(encoding="utf-8"))
            mse = metrics["models"]["timellm"]["scaled"]["mse"]
            need(abs(mse - facts["mse"]) <= 1e-6 * facts["mse"], f"the MSE is {mse} instead of {facts['mse']}")
        elif name == "train" and "model" in facts:
            need(sha(weights(place)) == facts["model"], "another model than undisturbed training gives")
        elif name == "rollback":
            agree(place)
    if name == "retrain" and outcome.status == 0:
        agree(place)


def close(one: list[float], other: list[float]) -> bool:
    """Whether two forecasts are equal but for the last digits."""
    return len(one) == len(other) and all(
        abs(a - b) <= 1e-4 * max(abs(b), 1e-3) for a, b in zip(one, other, strict=True)
    )


def agree(place: Place) -> None:
    """Pointer, journal and model versions agree, and `forecast` uses the champion."""
    champion = place.champion()
    need((place.root / MODELS / champion).is_dir(), f"the champion {champion} has no model")
    moves = [one for one in place.journal() if one.get("decision") in ("promoted", "rolled back")]
    need(bool(moves) and moves[-1]["version"] == champion, "the journal names another champion than the pointer")
    path = place.outputs / "agree.csv"
    path.write_text(series(700), encoding="utf-8")
    outcome = place.work(place.run("forecast", {"raw_csv": str(path)}))
    need(champion in outcome.text, f"forecast does not name the champion {champion}")


# ── damaged files

CONTENTS: dict[str, bytes] = {
    "emptied": b"",
    "[]": b"[]",
    "{}": b"{}",
    "null": b"null",
    "binary": bytes(range(256)),
    "truncated": b"",  # made of the file itself
}


def spoil(path: Path, how: str) -> None:
    """Damage one file or folder in one way."""
    if how == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "deleted":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a link":
        moved = path.with_name(path.name + ".moved")
        path.rename(moved)
        path.symlink_to(moved.name)
    elif how == "a link to itself":
        path.unlink()
        path.symlink_to(path.name)
    else:
        path.write_bytes(CONTENTS[how])


def newest_step(place: Place) -> Path:
    """The newest checkpoint."""
    return max(store(place).glob("step-*"))


FILES: dict[str, tuple[str, Callable[[Place], Path], tuple[str, ...]]] = {
    "champion.json": ("champions", lambda p: p.root / "06_models/champion.json",
                      ("forecast", "retrain", "rollback", "evaluate")),
    "decisions.jsonl": ("champions", lambda p: p.root / "06_models/decisions.jsonl",
                        ("forecast", "retrain", "rollback", "train")),
    "config.json of the champion": (
        "champions", lambda p: p.root / MODELS / p.champion() / "timellm_model/config.json",
        ("forecast", "retrain", "rollback")),
    "finished.json": ("trained", lambda p: store(p) / "finished.json", ("train", "publish", "watch")),
    "run.json": ("trained", lambda p: store(p) / "run.json", ("train", "publish", "watch")),
    "history.csv": ("trained", lambda p: store(p) / "history.csv", ("train", "publish", "watch")),
    "intervals of the training": ("trained", lambda p: store(p) / "intervals.safetensors", ("train", "publish")),
    "manifest.json": ("trained", lambda p: newest_step(p) / "manifest.json", ("train", "publish", "watch")),
    "state.pt": ("trained", lambda p: newest_step(p) / "state.pt", ("train", "publish")),
    "trainable.safetensors": ("trained", lambda p: newest_step(p) / "trainable.safetensors", ("train", "publish")),
    "history of a checkpoint": ("trained", lambda p: newest_step(p) / "history.csv", ("train", "publish")),
    "scaler.json": ("trained", lambda p: p.newest("03_primary/scaler.json"), ("train", "evaluate", "forecast")),
    "test_metrics.json": ("trained", lambda p: p.newest("08_reporting/test_metrics.json"), ("evaluate", "train")),
    "model.safetensors": ("trained", weights, ("forecast", "evaluate", "train")),
}  # fmt: skip
WAYS = (*CONTENTS, "deleted", "a folder", "a link", "a link to itself")


def damaged_files() -> Iterator[Case]:
    """Each of our files damaged in each way, and the commands that read or replace it."""
    for name, (state, find, commands) in FILES.items():
        for how in WAYS:
            for which in commands:

                def check(
                    place: Place, state: str = state, find: Any = find, how: str = how, which: str = which
                ) -> None:
                    place.take(state)
                    spoil(find(place), how)
                    facts = place.facts(state)
                    if which == "train" and how != "a link":
                        outcome = command(place, which)
                        if outcome.status == 0:
                            sane(place, which, outcome, facts)
                        else:
                            outcome.new = []  # the model, before what is damaged was met
                            place.refuse(outcome)
                            forced = place.run("train", {"training.force": "true"})
                            sane(place, which, forced, facts)
                        return
                    sane(place, which, command(place, which), facts)

                yield Case("fault", "damaged files", f"{name} {how}: {which}", check)


def cases() -> list[Case]:
    """Every case of this file."""
    return [*damaged_files()]
