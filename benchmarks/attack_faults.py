"""Faults: links, full disks, wrong clocks, signals, two processes at once, and what killed processes leave."""

# ruff: noqa: PLR0915 - a function that lists cases is as long as the list

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from attack_damage import COMMANDS, MODELS, STORE, agree, close, command, sane, store
from attack_harness import (
    EASY,
    FINAL,
    ROOT,
    SMALL,
    Case,
    Outcome,
    Place,
    Running,
    Wrong,
    need,
    sha,
    tree,
)
from attack_server import small_disk
from attack_states import LONG, series, weights

# ── links and backups


def _backup(place: Place, name: str) -> tuple[Path, dict[str, tuple[Any, ...]]]:
    """A hard-linked copy of the data root outside of it."""
    copy = place.folder / name
    done = subprocess.run(["cp", "-al", str(place.root), str(copy)], check=False)
    if done.returncode:
        raise Wrong("cp -al failed")
    return copy, tree(copy)


def _same(copy: Path, before: dict[str, tuple[Any, ...]]) -> None:
    after = tree(copy)
    lost = [name for name in before if before[name] != after.get(name)]
    need(not lost, f"{len(lost)} files of a backup changed, {lost[:2]}")


def _commands(place: Place, *names: str, **params: Any) -> None:
    for name in names:
        place.work(command(place, name, params=params or None))


def links() -> Iterator[Case]:
    """Backups of hard links, and symbolic links inside the data root: their targets stay as they are."""

    def hard_links(place: Place, commands: tuple[str, ...], params: dict[str, Any], state: str) -> None:
        place.take(state)
        copy, before = _backup(place, "backup")
        for name in commands:
            outcome = command(place, name, params=params) if params else command(place, name)
            need(outcome.status in (0, 3), f"status {outcome.status} of {name}")
            place.decent(outcome)
        _same(copy, before)

    for state, commands, params in [
        ("trained", ("data",) * 7, {}),
        ("trained", ("train",) * 7, {}),
        ("trained", ("evaluate",) * 7, {}),
        ("trained", ("forecast",) * 7, {}),
        ("trained", ("publish",) * 7, {}),
        ("trained", ("train", "train"), {"training.force": "true"}),
        ("trained", ("train",), {"training.max_steps": 13}),
        ("champions", ("rollback",) * 2, {}),
    ]:
        name = f"cp -al, then {len(commands)} times {commands[0]}{' by force' if 'training.force' in params else ''}"
        name += " with more steps" if "training.max_steps" in params else ""
        yield Case(
            "fault", "links", name,
            lambda place, s=state, c=commands, p=params: hard_links(place, c, p, s),
        )  # fmt: skip

    def retrainings(place: Place) -> None:
        place.take("one")
        copy, before = _backup(place, "backup")
        for rows in range(410, 490, 12):
            place.csv.write_text(series(rows), encoding="utf-8")
            outcome = place.run("retrain", base=EASY)
            need(outcome.status in (0, 3), f"status {outcome.status}")
        _same(copy, before)

    yield Case("fault", "links", "cp -al, then 7 times retrain", retrainings)

    def linked_file(place: Place, result: str) -> None:
        place.take("trained")
        path = place.newest(result)
        victim = place.victims / "moved"
        path.rename(victim)
        path.symlink_to(victim)
        before = tree(place.victims)
        for _ in range(7):
            place.decent(command(place, "train", params={"training.force": "true"}))
        _same(place.victims, before)

    for result in (MODELS, "08_reporting/test_metrics.json", "03_primary/scaled_series.parquet"):
        yield Case("fault", "links", f"a file of a version is a link: {result}", lambda p, r=result: linked_file(p, r))

    def linked_version(place: Place, result: str) -> None:
        place.take("trained")
        (version,) = place.versions(result)
        (place.root / result / version).rename(place.victims / version)
        (place.root / result / version).symlink_to(place.victims / version)
        before = tree(place.victims)
        for _ in range(7):
            place.decent(command(place, "train"))
        _same(place.victims, before)

    for result in (MODELS, "08_reporting/test_metrics.json"):
        yield Case(
            "fault",
            "links",
            f"a version was moved away and linked back: {result}",
            lambda p, r=result: linked_version(p, r),
        )

    def planted(place: Place, find: Callable[[Place], Path], name: str, commands: tuple[str, ...]) -> None:
        place.take("trained")
        place.planted = True
        (find(place) / name).symlink_to(place.victims, target_is_directory=True)
        before = tree(place.victims)
        for which in commands:
            outcome = command(place, which, params={"training.force": "true"})
            need(outcome.status in (0, 1), f"status {outcome.status}")
            place.decent(outcome)
        _same(place.victims, before)

    old = "2020-01-01T00.00.00.000Z"
    for name in (
        ".partial-x",
        f".partial-{old}-1",
        f".gone-{old}-1",
        old,
        "step-000000001",
        "9999-01-01T00.00.00.000Z",
    ):
        yield Case("fault", "links", f"a planted link {name} beside the versions",
                   lambda p, n=name: planted(p, lambda q: q.root / MODELS, n, ("publish",) * 7))  # fmt: skip
    for name in ("step-000000001", "step-000000099", ".partial-000000003-1", ".gone-step-000000001-1", "step-abc"):
        yield Case("fault", "links", f"a planted link {name} beside the checkpoints",
                   lambda p, n=name: planted(p, store, n, ("train", "train")))  # fmt: skip
    for name in (".lock", "finished.json", "history.csv", "run.json", "intervals.safetensors"):

        def linked(place: Place, name: str = name) -> None:
            place.take("trained")
            path = store(place) / name
            path.unlink(missing_ok=True)
            path.symlink_to(place.victims / "precious.txt")
            before = tree(place.victims)
            for params in ({}, {"training.force": "true"}):
                place.either(place.run("train", params))
                _same(place.victims, before)
            place.either(place.watch())
            _same(place.victims, before)

        yield Case("fault", "links", f"{name} of a training is a link to a victim", linked)
    for name in (".retraining.lock", "champion.json", "decisions.jsonl", "timellm_model", "checkpoints"):

        def shared(place: Place, name: str = name) -> None:
            place.take("two")
            path = place.root / "06_models" / name
            if path.is_dir():
                shutil.rmtree(path)
                path.symlink_to(place.victims, target_is_directory=True)
            else:
                path.unlink(missing_ok=True)
                path.symlink_to(place.victims / "precious.txt")
            precious = sha(place.victims / "precious.txt")
            place.changing.add("victims")
            place.csv.write_text(series(600), encoding="utf-8")
            for which in ("retrain", "rollback"):
                place.either(command(place, which))
                need(sha(place.victims / "precious.txt") == precious, "a victim's file was changed through a link")

        yield Case("fault", "links", f"{name} is a link to a victim: retrain, rollback", shared)

    def page(place: Place) -> None:
        place.take("trained")
        link = place.outputs / "page.html"
        link.symlink_to(place.victims / "precious.txt")
        precious = sha(place.victims / "precious.txt")
        place.either(place.watch("--page", str(link)))
        need(sha(place.victims / "precious.txt") == precious, "watch overwrote a file through a link")

    yield Case("fault", "links", "watch --page is a link to a victim", page)


# ── disks


def disks() -> Iterator[Case]:
    """A full or a read-only disk: three lines, the old results stay, and the next run works."""
    for size in ("16k", "64k", "200k", "400k", "800k", "1500k"):
        for which in ("data", "train", "evaluate", "forecast", "publish", "retrain", "rollback"):

            def full(place: Place, size: str = size, which: str = which) -> None:
                state = "champions" if which in ("retrain", "rollback") else "trained"
                place.take(state)
                facts = place.facts(state)
                if which == "retrain":
                    place.csv.write_text(series(800), encoding="utf-8")
                original = place.folder / "original"
                place.root.rename(original)
                place.changing.add("original")
                with small_disk(place.root, "size=100m"):
                    shutil.copytree(original, place.root, symlinks=True, dirs_exist_ok=True)
                    facts_of_disk = os.statvfs(place.root)
                    used = (facts_of_disk.f_blocks - facts_of_disk.f_bfree) * facts_of_disk.f_frsize // 1024
                    options = f"remount,size={used + int(size[:-1])}k"
                    subprocess.run(["mount", "-o", options, str(place.root)], check=True)
                    outcome = command(place, which)
                    outcome.new = []  # an earlier result may have had enough space
                    place.refuse(outcome) if outcome.status else place.work(outcome)
                    subprocess.run(["mount", "-o", "remount,size=100m", str(place.root)], check=False)
                    again = command(place, which)
                    need(again.status in (0, 3), f"with space on the disk: status {again.status}")
                    sane(place, which, again, facts)
                    if which in ("retrain", "rollback"):
                        agree(place)

            yield Case("fault", "full disk", f"{size} free: {which}", full)
    for which in COMMANDS:

        def read_only(place: Place, which: str = which) -> None:
            state = "champions" if which in ("retrain", "rollback") else "trained"
            place.take(state)
            original = place.folder / "original"
            place.root.rename(original)
            place.changing.add("original")
            with small_disk(place.root, "size=100m"):
                shutil.copytree(original, place.root, symlinks=True, dirs_exist_ok=True)
                subprocess.run(["mount", "-o", "remount,ro", str(place.root)], check=True)
                outcome = command(place, which)
                place.work(outcome) if which == "watch" else place.refuse(outcome)

        yield Case("fault", "read-only disk", which, read_only)

        def new_root(place: Place, which: str = which) -> None:
            place.csv.write_text(series(400), encoding="utf-8")
            with small_disk(place.root, "size=8k"):
                subprocess.run(["dd", "if=/dev/zero", f"of={place.root}/filler", "bs=4096", "count=2"],
                               capture_output=True, check=False)  # fmt: skip
                place.refuse(command(place, which))

        yield Case("fault", "full disk", f"nothing free at all: {which}", new_root)


# ── time


def clocks() -> Iterator[Case]:
    """Versions of a clock that ran ahead."""

    def rename(place: Place, year: str) -> None:
        for result in [
            path for layer in place.root.iterdir() for path in layer.iterdir() if path.name != "checkpoints"
        ]:
            if result.is_dir():
                for version in list(result.iterdir()):
                    if version.name[0] != ".":
                        version.rename(version.with_name(year + version.name[4:]))

    for which in ("data", "train", "forecast", "evaluate", "publish"):
        for year in ("2030", "2099"):

            def check(place: Place, which: str = which, year: str = year) -> None:
                place.take("trained")
                rename(place, year)
                before = place.versions(FINAL[which])
                outcome = place.work(command(place, which))
                newest = max(place.versions(FINAL[which]))
                need(
                    outcome.new == [newest] and newest > max(before, default=""),
                    "the newest result is not the newest version",
                )
                for _ in range(6):
                    need(bool(place.work(command(place, which)).new), "a result pruned itself")

            yield Case("fault", "clocks", f"versions of {year}, then 7 times {which}", check)

    def new_model(place: Place) -> None:
        place.take("trained")
        rename(place, "2030")
        place.work(place.run("train", {"training.max_steps": 17}))
        steps = json.loads((weights(place).parent / "config.json").read_text(encoding="utf-8"))["best_step"]
        need(
            steps > 10 or sha(weights(place)) != place.facts("trained")["model"], "the newest version is the old model"
        )
        place.work(place.run("forecast"))
        need(not close(place.forecast(), place.facts("trained")["forecast"]), "forecast uses the old model")

    yield Case("fault", "clocks", "versions of 2030, then a new model: forecast uses it", new_model)

    def last_year(place: Place) -> None:
        place.take("trained")
        rename(place, "9999")
        place.either(place.run("data"))

    yield Case("fault", "clocks", "versions of 9999", last_year)


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


# ── partial folders


def leftovers() -> Iterator[Case]:
    """What killed processes left is swept; what is not ours stays."""

    def swept(place: Place, which: str) -> None:
        place.take("trained")
        place.planted = True
        folder = (place.root / FINAL[which]).parent / Path(FINAL[which]).name
        stale = folder / ".partial-2020-01-01T00.00.00.000Z-99999"
        stale.mkdir(parents=True)
        (stale / "x").write_text("x", encoding="utf-8")
        for _ in range(6):
            place.work(command(place, which))
        need(not stale.exists(), "a partial folder of a killed process was never swept")

    for which in ("data", "train", "evaluate", "forecast", "publish"):
        yield Case("fault", "leftovers", f"a partial folder is swept: {which}", lambda p, w=which: swept(p, w))

    def kept(place: Place, name: str) -> None:
        place.take("trained")
        mine = place.root / MODELS / name
        mine.mkdir()
        (mine / "mine.txt").write_text("mine", encoding="utf-8")
        for _ in range(7):
            place.work(command(place, "publish"))
        need((mine / "mine.txt").exists(), f"a user's folder {name} was deleted")

    for name in ("notes", "backup-2020", "A", "zzz", "2020", ".mine"):
        yield Case("fault", "leftovers", f"a user's folder {name} stays", lambda p, n=name: kept(p, n))

    def whole_default(place: Place) -> None:
        need((ROOT / "data/01_raw/synthetic_hourly.csv").exists(), "the example's file is not there")
        params = {"raw_csv": ..., "window.seq_len": 168, "window.pred_len": 24, "window.window_step": 200}
        place.work(place.run("train", params))

    yield Case("fault", "leftovers", "the example's own series trains", whole_default)


def cases() -> list[Case]:
    """Every case of this file."""
    groups = (links, disks, clocks, kills, together, leftovers)
    return [case for group in groups for case in group()]
