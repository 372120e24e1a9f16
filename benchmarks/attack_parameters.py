"""Wrong parameters; and the cases that are built from a command line."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from attack_builders import GOOD, put
from attack_files import need
from attack_harness import EASY, ROOT, SMALL, Case, Place, nested
from attack_process import Outcome

BAD: dict[str, Any] = {
    "null": None,
    "NaN": float("nan"),
    "an empty text": "",
    "10^20": 10**20,
    "-1": -1,
    "a list": [1],
    "a dictionary": {"a": 1},
    "true": True,
    "not ASCII": "☃ снег",
    "an escape": "\x1b[31mred",
}
PIPELINES = {"training": "train", "evaluation": "train", "model": "train", "backbone": "train", "explain": "explain",
             "forecast": "forecast", "retrain": "retrain", "gates": "retrain", "prompt": "train"}  # fmt: skip
ONLY_PARSED = {"training.num_workers", "training.compile"}  # they would start processes, or a compiler


def parameter_names() -> dict[str, Any]:
    """Every parameter of conf/base/parameters.yml with its value."""
    base = yaml.safe_load((ROOT / "conf/base/parameters.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for group, values in base.items():
        if isinstance(values, dict):
            found |= {f"{group}.{name}": value for name, value in values.items()}
        else:
            found[group] = values
    return found


def parameters() -> Iterator[Case]:
    """Every parameter with values of every wrong kind: a result, or three lines."""
    names = parameter_names()
    for name in names:
        for kind, value in BAD.items():

            def check(place: Place, name: str = name, value: Any = value) -> None:
                pipeline = "data" if name in ONLY_PARSED else PIPELINES.get(name.split(".", maxsplit=1)[0], "data")
                if pipeline == "forecast":
                    place.take("trained")
                else:
                    put(place, GOOD)
                base = EASY if pipeline == "retrain" else SMALL
                place.either(place.run(pipeline, {name: value}, base=base, memory=8.0))

            yield Case("input", "parameters", f"{name} is {kind}", check)
    for name in names:
        wrong = name[:-1] + ("x" if name[-1] != "x" else "y")

        def check_name(place: Place, wrong: str = wrong) -> None:
            put(place, GOOD)
            place.refuse(place.run("data", {wrong: 1}), wrong.rsplit(".", 1)[-1])

        yield Case("input", "misspelt names", wrong, check_name)
    for name in ("trainning.batch_size", "Window.seq_len", "window.seq-len", "data.csv.seperator", "gates.gates.mase",
                 "window.seq_len.x", "☃.x", "__class__", "model.__init__", "x"):  # fmt: skip

        def check_other(place: Place, name: str = name) -> None:
            put(place, GOOD)
            place.refuse(place.run("data", {name: 1}))

        yield Case("input", "misspelt names", name, check_other)


def words_case(
    name: str,
    words: list[str],
    *says: str,
    pipeline: str = "data",
    state: str | None = None,
    right: str = "refused",
    never: tuple[str, ...] = (),
    before: Callable[[Place], None] | None = None,
) -> Case:
    """A command line beside the small settings. `right`: refused, works, either, or usage (status 2 is right too)."""

    def check(place: Place) -> None:
        if state is None:
            put(place, GOOD)
        else:
            place.take(state)
        if before is not None:
            before(place)
        filled = [word.replace("<folder>", str(place.folder)) for word in words]
        judge(place, place.run(pipeline, words=filled), right, says, never)

    return Case("input", "command lines", name, check)


def judge(place: Place, outcome: Outcome, right: str, says: tuple[str, ...] = (), never: tuple[str, ...] = ()) -> None:
    """Demand what `right` names: refused, works, either, usage (or refused), any."""
    if right in ("usage", "any") and outcome.status == 2:
        place.decent(outcome)
        need("Usage:" in outcome.err or "Error:" in outcome.err, "status 2 without a word about usage")
        place.speaks(outcome.err, says, never)
    elif right == "works":
        place.work(outcome, *says, never=never)
    elif right in ("either", "any"):
        place.speaks(place.either(outcome).text, says, never)
    else:
        place.refuse(outcome, *says, never=never)


def valued(
    name: str,
    params: Mapping[str, Any],
    *says: str,
    pipeline: str = "data",
    state: str | None = None,
    right: str = "refused",
    never: tuple[str, ...] = (),
) -> Case:
    """Parameters of the command line."""

    def check(place: Place) -> None:
        if state is None:
            put(place, GOOD)
        else:
            place.take(state)
        base = EASY if pipeline in ("retrain", "rollback") else SMALL
        judge(place, place.run(pipeline, params, base=base), right, says, never)

    return Case("input", "command lines", name, check)


def raw_params(name: str, text: str, *says: str, right: str = "refused", pipeline: str = "data") -> Case:
    """The text of `--params` as it is typed; <csv> and <root> stand for paths."""

    def check(place: Place) -> None:
        put(place, GOOD)
        small = ",".join(f"{key}={value}" for key, value in SMALL.items())
        words = text.replace("<csv>", str(place.csv)).replace("<root>", str(place.root)).replace("<small>", small)
        outcome = place.start(["kedro", "run", "--pipeline", pipeline, "--params", words], pipeline).wait()
        judge(place, outcome, right, says)

    return Case("input", "command lines", name, check)


def config_case(name: str, content: bytes | None, *says: str, right: str = "refused") -> Case:
    """A file for `--config` as it is; <csv>, <root> stand for paths."""

    def check(place: Place) -> None:
        put(place, GOOD)
        path = place.outputs / "given.yml"
        if content is not None:
            path.write_bytes(
                content.replace(b"<csv>", str(place.csv).encode()).replace(b"<root>", str(place.root).encode())
            )
        judge(place, place.start(["kedro", "run", "--config", str(path)], "data").wait(), right, says)

    return Case("input", "command lines", name, check)


GOOD_CONFIG = yaml.safe_dump(
    {"run": {"pipelines": "data", "params": nested({**SMALL, "raw_csv": "<csv>", "data_root": "<root>"})}}
).encode()


def cases() -> list[Case]:
    """Every case of this file."""
    return [*parameters()]
