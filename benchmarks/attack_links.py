"""Links: backups of hard links, and symbolic links inside the data root."""

# ruff: noqa: PLR0915 - a function that lists cases is as long as the list

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attack_damage import MODELS, command, store
from attack_files import Wrong, need, sha, tree
from attack_harness import EASY, Case, Place
from attack_states import series


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


def cases() -> list[Case]:
    """Every case of this file."""
    return [*links()]
