"""Damaged states of a data root, with every command that meets them."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attack_damage import COMMANDS, MODELS, STORE, command, newest_step, sane, store
from attack_files import need
from attack_harness import Case, Place


def _edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def _edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    made = change(value)
    path.write_text(json.dumps(value if made is None else made), encoding="utf-8")


def _step_folder(place: Place) -> None:
    (store(place) / "step-abc").mkdir()


def _step_file(place: Place) -> None:
    (store(place) / "step-000000099").write_text("x", encoding="utf-8")


def _empty_step(place: Place) -> None:
    (store(place) / "step-000000099").mkdir()


def _foreign_history(place: Place) -> None:
    (store(place) / "history.csv").write_text("a,b\n1,2\n", encoding="utf-8")


def _text_in_history(place: Place) -> None:
    _edit(store(place) / "history.csv", lambda text: text.replace("\n1,", "\nx,").replace("\n2,", "\nx,"))


def _foreign_folder(place: Place) -> None:
    for result in (MODELS, "08_reporting/test_metrics.json", "05_model_input/run_plan.json"):
        (place.root / result / "my notes").mkdir(parents=True)
        (place.root / result / "my notes/notes.txt").write_text("mine", encoding="utf-8")


def _foreign_version(place: Place) -> None:
    for result in (MODELS, "08_reporting/test_metrics.json"):
        (place.root / result / "2029-01-01T00.00.00.000Z").mkdir()


def _middle_line(place: Place) -> None:
    def change(text: str) -> str:
        lines = text.rstrip("\n").split("\n")
        lines[1] = lines[1][:20]
        return "\n".join(lines) + "\n"

    _edit(place.root / "06_models/decisions.jsonl", change)


def _missing_champion(place: Place) -> None:
    shutil.rmtree(place.root / MODELS / place.champion())


def _run(**changes: Any) -> Callable[[Place], None]:
    return lambda place: _edit_json(store(place) / "run.json", lambda value: value.update(changes))


def _finished(**changes: Any) -> Callable[[Place], None]:
    return lambda place: _edit_json(store(place) / "finished.json", lambda value: value.update(changes))


def _manifest(**changes: Any) -> Callable[[Place], None]:
    return lambda place: _edit_json(newest_step(place) / "manifest.json", lambda value: value.update(changes))


def _pointer(change: Callable[[dict[str, Any]], Any]) -> Callable[[Place], None]:
    return lambda place: _edit_json(place.root / "06_models/champion.json", change)


def _journal(change: Callable[[str], str]) -> Callable[[Place], None]:
    return lambda place: _edit(place.root / "06_models/decisions.jsonl", change)


def _file_instead(name: str) -> Callable[[Place], None]:
    def damage(place: Place) -> None:
        shutil.rmtree(place.root / name)
        (place.root / name).write_text("x", encoding="utf-8")

    return damage


def _no_root(place: Place) -> None:
    shutil.rmtree(place.root)
    place.root.write_text("x", encoding="utf-8")


def _root_inside_a_file(place: Place) -> None:
    _no_root(place)
    place.root /= "inside"


def _dangling_root(place: Place) -> None:
    shutil.rmtree(place.root)
    place.root.symlink_to("nowhere/at/all")


def _dangling_reports(place: Place) -> None:
    shutil.rmtree(place.root / "08_reporting")
    (place.root / "08_reporting").symlink_to("nowhere")


def _no_checkpoints(place: Place) -> None:
    for path in store(place).glob("step-*"):
        shutil.rmtree(path)


def _no_weights(place: Place) -> None:
    for path in store(place).glob("step-*/trainable.safetensors"):
        path.write_bytes(b"")


UNKNOWN = '{"decision": "x", "version": null}\n'
NOWHERE = "2000-01-01T00.00.00.000Z"
STATES: dict[str, tuple[str, Callable[[Place], Any]]] = {
    "untouched": ("champions", lambda p: None),
    "a folder step-abc": ("trained", _step_folder),
    "a file step-000000099": ("trained", _step_file),
    "an empty folder step-000000099": ("trained", _empty_step),
    "text as max_steps in run.json": ("trained", _run(max_steps="x")),
    "a list as max_steps in run.json": ("trained", _run(max_steps=[1])),
    "max_steps 0 in run.json": ("trained", _run(max_steps=0)),
    "a foreign history.csv": ("trained", _foreign_history),
    "text in history.csv": ("trained", _text_in_history),
    "every checkpoint deleted": ("trained", _no_checkpoints),
    "all checkpoints' weights emptied": ("trained", _no_weights),
    "all checkpoints and trainings deleted": ("trained", lambda p: shutil.rmtree(p.root / STORE)),
    "the store is a file": ("trained", _file_instead(STORE)),
    "best_step edited in finished.json": ("trained", _finished(best_step=3)),
    "validation_mse edited in finished.json": ("trained", _finished(validation_mse=0.0)),
    "best_step a text in finished.json": ("trained", _finished(best_step="x")),
    "content a list in manifest.json": ("trained", _manifest(content=[1])),
    "step 7 in manifest.json": ("trained", _manifest(step=7)),
    "format 99 in manifest.json": ("trained", _manifest(format=99)),
    "no digests in manifest.json": ("trained", _manifest(sha256={})),
    "a user's folder beside the versions": ("champions", _foreign_folder),
    "a version folder that is empty": ("trained", _foreign_version),
    "a file beside the versions": ("trained", lambda p: (p.root / MODELS / "readme.txt").write_text("x")),
    "champion.json points nowhere": ("champions", _pointer(lambda value: value.update(version=NOWHERE))),
    "champion.json points outside": ("champions", _pointer(lambda value: value.update(version="../../../victims"))),
    "champion.json holds a number": ("champions", _pointer(lambda value: value.update(version=5))),
    "champion.json without a version": ("champions", _pointer(lambda value: value.pop("version"))),
    "the champion's model is gone": ("champions", _missing_champion),
    "all models are gone": ("champions", lambda p: shutil.rmtree(p.root / MODELS)),
    "a damaged line in decisions.jsonl": ("champions", _middle_line),
    "half a last line in decisions.jsonl": ("champions", _journal(lambda text: text.rstrip("\n")[:-30])),
    "no line end in decisions.jsonl": ("champions", _journal(lambda text: text.rstrip("\n"))),
    "a number as a line of decisions.jsonl": ("champions", _journal(lambda text: text + "5\n")),
    "a list as a line of decisions.jsonl": ("champions", _journal(lambda text: "[]\n" + text)),
    "an unknown decision in decisions.jsonl": ("champions", _journal(lambda text: text + UNKNOWN)),
    "an entry without keys in decisions.jsonl": ("champions", _journal(lambda text: text + "{}\n")),
    "decisions.jsonl twice as long": ("champions", _journal(lambda text: text + text)),
    "06_models is a file": ("trained", _file_instead("06_models")),
    "02_intermediate is a file": ("trained", _file_instead("02_intermediate")),
    "08_reporting is a dangling link": ("trained", _dangling_reports),
    "data_root is a file": ("trained", _no_root),
    "data_root is inside a file": ("trained", _root_inside_a_file),
    "data_root is a dangling link": ("trained", _dangling_root),
    "the raw file is gone": ("champions", lambda p: p.csv.unlink()),
    "the raw file has other channels": ("champions", lambda p: _edit(p.csv, lambda text: text.replace("HUFL", "X", 1))),
    "the raw file has fewer rows": ("champions", lambda p: _edit(p.csv, lambda t: "\n".join(t.split("\n")[:100]))),
}


def damaged_states() -> Iterator[Case]:
    """Each damaged state with each command."""
    for name, (state, damage) in STATES.items():
        for which in COMMANDS:
            if state == "trained" and which == "rollback":
                continue

            def check(
                place: Place, name: str = name, state: str = state, damage: Any = damage, which: str = which
            ) -> None:
                place.take(state)
                facts = place.facts(state)
                notes = {}
                damage(place)
                if "user's folder" in name:
                    notes = {p: p.read_text(encoding="utf-8") for p in place.root.rglob("my notes/notes.txt")}
                outcome = command(place, which, state)
                if name == "untouched":
                    place.work(outcome, status=3 if which == "retrain" and outcome.status == 3 else 0)
                if name == "the raw file has fewer rows" or (state == "champions" and which == "train"):
                    place.either(outcome)
                else:
                    sane(place, which, outcome, facts)
                for path, text in notes.items():
                    need(path.exists() and path.read_text(encoding="utf-8") == text, "a user's own folder was deleted")
                if name == "data_root is a dangling link":
                    need(not (place.folder / "nowhere").exists(), "the target of a dangling link was created")

            yield Case("fault", "damaged states", f"{name}: {which}", check)


def cases() -> list[Case]:
    """Every case of this file."""
    return [*damaged_states()]
