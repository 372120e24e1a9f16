"""Faults: full and read-only disks, wrong clocks, and what killed processes leave."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from attack_damage import COMMANDS, MODELS, agree, close, command, sane
from attack_files import need, sha
from attack_harness import ROOT, Case, Place
from attack_process import FINAL
from attack_server import small_disk
from attack_states import series, weights

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

    def default_series(place: Place) -> None:
        need((ROOT / "data/01_raw/synthetic_hourly.csv").exists(), "the example's file does not exist")
        params = {"raw_csv": ..., "window.seq_len": 168, "window.pred_len": 24, "window.window_step": 200}
        place.work(place.run("train", params))

    yield Case("fault", "leftovers", "the example's own series trains", default_series)


def cases() -> list[Case]:
    """Every case of this file."""
    return [*disks(), *clocks(), *leftovers()]
