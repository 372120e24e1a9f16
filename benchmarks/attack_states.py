"""Data roots that real commands made once; each case works on a copy."""

import json
import shutil
from pathlib import Path
from typing import Any

from attack_files import Wrong, sha
from attack_harness import EASY, SMALL, Place
from attack_process import Outcome
from attack_server import Server
from tiny_backbone import BACKBONE

ROWS = {"A": 400, "B": 520, "C": 640, "D": 760}  # of the newest raw file, of each champion
LONG: dict[str, Any] = {
    **SMALL,
    "training.max_steps": 120,
    "training.max_epochs": 1000,
    "training.save_steps": 4,
    "training.validate_steps": 40,
    "training.log_steps": 1,
    "training.patience": 1000,
}


def series(rows: int) -> str:
    """The first rows of one synthetic series."""
    from synthetic import synthetic_series

    return str(synthetic_series(num_rows=900, seed=1).iloc[:rows].to_csv(index=False))


def first_commands(place: Place) -> None:
    """One of each kind, to import what they need."""
    place.csv.write_text(series(400), encoding="utf-8")
    for pipeline in ("train", "forecast", "evaluate"):
        right(place.run(pipeline))
    right(place.run("retrain", base=EASY))
    right(place.watch())


def prepare(server: Server) -> None:
    """Make every state, and a tiny random language model."""
    right(server.place("backbone", fresh=False).script(BACKBONE, str(server.states / "backbone")))
    _trained(server, "trained", {})
    _trained(server, "drop", {"data.gaps": "drop_windows"})
    _champions(server)
    place = server.place("long", fresh=False)
    place.csv.write_text(series(400), encoding="utf-8")
    right(place.run("train", base=LONG))
    _keep(place, server.states / "long", {"model": sha(weights(place))})


def right(outcome: Outcome, status: int = 0) -> Outcome:
    """Raises Wrong unless a command of the preparation ended with this status."""
    if outcome.status != status:
        raise Wrong(f"status {outcome.status} of {' '.join(outcome.words)[:300]}\n{outcome.text[-2000:]}")
    return outcome


def _trained(server: Server, name: str, params: dict[str, Any]) -> None:
    """One training, its evaluation, and in `facts` what forecast, evaluate and publish give."""
    place = server.place(name, fresh=False)
    place.csv.write_text(series(400), encoding="utf-8")
    right(place.run("train", params))
    _keep(place, server.states / name, {})
    facts = {"model": sha(weights(place)), **after(place, params)}
    right(place.run("publish", params))
    facts["published"] = sha(weights(place))
    (server.states / name / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def _champions(server: Server) -> None:
    """Three champions and a refused candidate (`champions`), two champions (`two`), one (`one`)."""
    place = server.place("champions", fresh=False)
    facts: dict[str, Any] = {"versions": {}}
    for letter in "ABC":
        place.csv.write_text(series(ROWS[letter]), encoding="utf-8")
        right(place.run("retrain", base=EASY))
        facts["versions"][letter] = place.champion()
        facts["forecast " + letter] = forecast(place)
        facts["model " + letter] = sha(weights(place))
        if letter != "C":
            _keep(place, server.states / {"A": "one", "B": "two"}[letter], facts)
    place.csv.write_text(series(ROWS["D"]), encoding="utf-8")
    right(place.run("retrain", {"gates.mase": 1e-6}, base=EASY), status=3)
    facts["versions"]["refused"] = max(place.versions("06_models/timellm_model"))
    facts["forecast now"] = forecast(place)
    _keep(place, server.states / "champions", facts)


def forecast(place: Place) -> list[float]:
    """The forecast of a state, which is made in a copy of it."""
    copy = place.folder / "copy"
    shutil.copytree(place.root, copy, symlinks=True)
    original, place.root = place.root, copy
    place.changing.add("copy")
    try:
        right(place.run("forecast"))
        return place.forecast()
    finally:
        place.root = original
        shutil.rmtree(copy)


def after(place: Place, params: dict[str, Any]) -> dict[str, Any]:
    """What forecast and evaluate give."""
    numbers = forecast(place)
    right(place.run("evaluate", params))
    metrics = json.loads(place.newest("08_reporting/test_metrics.json").read_text(encoding="utf-8"))
    return {"forecast": numbers, "mse": metrics["models"]["timellm"]["scaled"]["mse"]}


def weights(place: Place) -> Path:
    """The newest model's weights."""
    return place.newest("06_models/timellm_model") / "model.safetensors"


def _keep(place: Place, state: Path, facts: dict[str, Any]) -> None:
    """Copy the data root and the raw file of a place into a state."""
    state.mkdir()
    shutil.copytree(place.root, state / "root", symlinks=True)
    shutil.copyfile(place.csv, state / "series.csv")
    (state / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
