"""Signals at random moments, and two commands on one data root at the same time."""

# ruff: noqa: PLR0915 - a function that lists cases is as long as the list

import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from attack_damage import MODELS, STORE, agree, command, sane
from attack_files import need, sha
from attack_harness import EASY, SMALL, Case, Place
from attack_process import Outcome, Running
from attack_states import LONG, series, weights

# ── signals


def _wait_for(running: Running, fact: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.perf_counter() + seconds
    while not running.over() and not fact() and time.perf_counter() < deadline:
        time.sleep(0.002)


def kills() -> Iterator[Case]:
    """A signal at a random moment, the same command again: the model of an undisturbed run."""
    signals = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGHUP": signal.SIGHUP}
    for name, number in signals.items():
        for seed in range(7):

            def train(place: Place, number: int = number, seed: int = seed) -> None:
                place.csv.write_text(series(400), encoding="utf-8")
                rng = random.Random(seed * 100 + number)
                for _ in range(2):
                    first, rows = _steps(place), rng.randint(0, 110)
                    running = place.begin("train", base=LONG)
                    _wait_for(running, lambda rows=rows: _steps(place) >= rows)
                    time.sleep(rng.uniform(0, 0.05))
                    training = first < _steps(place) < 100
                    running.send(number)
                    stopped = running.wait()
                    if number != signal.SIGKILL:
                        _stopped_well(place, stopped, number, training)
                place.work(place.run("train", base=LONG))
                need(sha(weights(place)) == place.facts("long")["model"], "another model than an undisturbed run gives")

            yield Case("fault", "signals", f"train, {name} twice, seed {seed}", train)
        for seed in range(4):

            def retrain(place: Place, number: int = number, seed: int = seed) -> None:
                place.take("two")
                place.csv.write_text(series(640), encoding="utf-8")
                facts = place.facts("champions")
                running = place.begin("retrain", base=EASY)
                time.sleep(random.Random(seed * 100 + number).uniform(0.05, 0.6))
                running.send(number)
                stopped = running.wait()
                if number != signal.SIGKILL:
                    _stopped_well(place, stopped, number, False)
                again = place.run("retrain", base=EASY)
                place.work(again)
                agree(place)
                model = place.root / MODELS / place.champion() / "timellm_model/model.safetensors"
                need(sha(model) == facts["model C"], "the champion is another model than an undisturbed run gives")

            yield Case("fault", "signals", f"retrain, {name}, seed {seed}", retrain)

            def rollback(place: Place, number: int = number, seed: int = seed) -> None:
                place.take("champions")
                running = place.begin("rollback", base=EASY)
                time.sleep(random.Random(seed * 100 + number).uniform(0.03, 0.3))
                running.send(number)
                running.wait()
                now = _champion_of_forecast(place)
                need(now in ("C", "B"), f"a rollback from C that was stopped led to {now}")
                place.work(place.run("rollback", base=EASY))
                after, expected = _champion_of_forecast(place), {"C": "B", "B": "A"}[now]
                need(after == expected, f"the next rollback led from {now} to {after}")
                agree(place)

            yield Case("fault", "signals", f"rollback, {name}, seed {seed}", rollback)
        for which in ("data", "evaluate", "forecast", "publish"):

            def other(place: Place, which: str = which, number: int = number) -> None:
                place.take("trained")
                facts = place.facts("trained")
                rng = random.Random(number)
                for _ in range(4):
                    running = place.begin(which)
                    time.sleep(rng.uniform(0.02, 0.4))
                    running.send(number)
                    running.wait()
                sane(place, which, command(place, which), facts)
                need(not place.partials(), f"left behind: {place.partials()[:2]}")

            yield Case("fault", "signals", f"{which}, {name} four times", other)


def _champion_of_forecast(place: Place) -> str:
    """The letter of the champion that `forecast` uses: it counts, not a file that a command may still repair."""
    outcome = place.work(place.run("forecast"))
    versions = place.facts("champions")["versions"].items()
    found = [letter for letter, version in versions if re.search(f"champion.*{re.escape(version)}", outcome.text)]
    need(len(found) == 1, f"forecast names the champions {found}")
    return found[0]


def _steps(place: Place) -> int:
    """Rows of the live history, 0 without one."""
    with suppress(OSError, ValueError):
        paths = list((place.root / STORE).glob("*/history.csv"))
        return paths[0].read_text(encoding="utf-8").count("\n") - 1 if paths else 0
    return 0


def _stopped_well(place: Place, outcome: Outcome, number: int, in_training: bool) -> None:
    """A signal ends a training by its own status with a checkpoint, and anything else without a traceback."""
    need("Traceback" not in outcome.text or not outcome.out.strip(), "a traceback after a signal")
    allowed = (128 + number,) if in_training else (128 + number, -number, 0, 1)
    need(outcome.status in allowed, f"status {outcome.status} after signal {number}")
    if in_training:
        need(bool(list((place.root / STORE).glob("*/step-*"))), "no checkpoint after a signal in training")


# ── two at once


def together() -> Iterator[Case]:
    """Two commands on one data root at the same time."""
    for pair in [("train", "train"), ("retrain", "retrain"), ("data", "data"), ("train", "data"), ("forecast", "train"),
                 ("evaluate", "publish"), ("retrain", "rollback"), ("forecast", "retrain"), ("rollback", "rollback"),
                 ("publish", "publish")]:  # fmt: skip
        for delay in (0.0, 0.15):

            def check(place: Place, pair: tuple[str, str] = pair, delay: float = delay) -> None:
                deciding = {"retrain", "rollback"} & set(pair)
                place.take("champions" if deciding else "trained")
                if deciding:
                    place.csv.write_text(series(800), encoding="utf-8")
                place.planted = True  # a partial folder of one is no leftover of the other
                params = {"training.max_steps": 40} if "train" in pair and not deciding else {}
                both = []
                for name in pair:
                    both.append(place.begin(name, params, base=EASY if deciding else SMALL))
                    time.sleep(delay)
                ended = [one.wait() for one in both]
                for one in ended:
                    need(one.status in (0, 1, 3), f"status {one.status}")
                    need("Traceback" not in one.text, "a traceback")
                    one.new = []  # what the other one published
                    if one.status:
                        place.refuse(one, status=one.status)
                need(any(one.status in (0, 3) for one in ended), "both failed")
                if deciding:
                    agree(place)
                place.planted = False
                for name in set(pair) - {"rollback"}:
                    need(
                        place.run(name, params, base=EASY if deciding else SMALL).status in (0, 3),
                        f"{name} fails afterwards",
                    )
                need(not place.partials(), f"left behind: {place.partials()[:2]}")

            yield Case("fault", "two at once", f"{pair[0]} and {pair[1]}, {delay:g} s apart", check)

    def pruned_inputs(place: Place) -> None:
        place.csv.write_text(series(400), encoding="utf-8")
        place.planted = True
        running = place.begin(
            "train",
            base={**LONG, "training.max_steps": 1500, "training.validate_steps": 1500, "training.save_steps": 500},
        )
        _wait_for(running, lambda: _steps(place) > 5)
        for _ in range(8):
            place.work(place.run("data"))
        need(not running.over(), "the training was too short for this case")
        place.work(running.wait(200))
        need(bool(place.versions(MODELS)), "no model")

    yield Case("fault", "two at once", "a long train, 8 times data meanwhile", pruned_inputs)

    def pruned_candidate(place: Place) -> None:
        place.take("two")
        place.csv.write_text(series(640), encoding="utf-8")
        place.work(place.run("train", base=SMALL))
        place.planted = True
        params = {"training.max_steps": 400, "training.validate_steps": 400, "training.save_steps": 200}
        running = place.begin("retrain", {**params, "gates.load": True}, base=EASY)
        count = 0
        while not running.over() and count < 40:
            command(place, "publish")
            count += 1
        outcome = running.wait(200)
        need(outcome.status in (0, 3) and "Traceback" not in outcome.text, f"status {outcome.status} of retrain")
        place.planted = False
        agree(place)

    yield Case("fault", "two at once", "retrain, publish all the time meanwhile", pruned_candidate)

    def watched(place: Place) -> None:
        place.csv.write_text(series(400), encoding="utf-8")
        place.planted = True
        running = place.begin("train", base=LONG)
        _wait_for(running, lambda: _steps(place) > 0)
        while not running.over():
            place.either(place.watch())
        place.work(running.wait())

    yield Case("fault", "two at once", "train, watched all the time", watched)


def cases() -> list[Case]:
    """Every case of this file."""
    return [*kills(), *together()]
