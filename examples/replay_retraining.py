"""Replay eight weekly retrainings on a growing part of a real file: promotions, refusals, an interruption, a rollback.

    python examples/replay_retraining.py --csv ETTh1.csv [--weeks 8] [--folder PATH]

Each week is a real `kedro run --pipeline retrain`. Week 3 has a broken sensor and week 4 no new data; the training of
week 5 is killed (SIGKILL) and the same command resumes it; week 6 is rolled back. The other decisions depend on the
numbers. Settings are small, so that it takes minutes: no language model unless --backbone names one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[1]
FIRST_ROWS, WEEK = 14_400, 168  # where ETTh1's published borders end; rows of a week
BROKEN, NO_NEW_DATA, KILLED, ROLLED_BACK = 3, 4, 5, 6  # weeks


def settings(folder: Path, options: argparse.Namespace) -> str:
    """Parameters of every week."""
    params = {
        "raw_csv": (folder / "series.csv").as_posix(),
        "data_root": (folder / "data").as_posix(),
        "backbone.name": options.backbone,
        "backbone.layers": "null" if options.backbone == "none" else 1,
        "split.method": "recent",
        "split.test_rows": "28D",
        "split.val_rows": "28D",
        "window.seq_len": 168,
        "window.pred_len": 24,
        "window.window_step": 5,
        "training.max_steps": options.steps,
        "training.max_epochs": 50,
        "training.save_steps": 20,
        "training.validate_steps": 50,
        "training.patience": 99,
        "evaluation.validation_step": 6,
        "evaluation.test_step": 6,
        "gates.prefer": "fresh",
        "gates.tolerance": 0.0,
        "gates.mase": 1.3,  # the models of this replay are small
    }
    return ",".join(f"{name}={value}" for name, value in params.items())


def run(pipeline: str, params: str, kill_after: Path | None = None) -> int:
    """Run the real command and return its exit status.

    Args:
        kill_after: a folder; the command is killed as soon as there is a new checkpoint in it.
    """
    command = [sys.executable, "-m", "kedro", "run", "--pipeline", pipeline, "--params", params]
    before = set(kill_after.glob("*/step-*")) if kill_after else set()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while kill_after and process.poll() is None:
        if set(kill_after.glob("*/step-*")) - before:
            process.kill()
        time.sleep(0.01)
    _, errors = process.communicate()
    if process.returncode not in (0, 3, -9):
        raise SystemExit(f"{' '.join(command)}\n{errors[-2000:]}")
    return process.returncode


def newest(folder: Path, name: str) -> dict[str, Any]:
    """The newest report of that name."""
    path = max((folder / f"data/08_reporting/{name}").glob(f"*/{name}"))
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def row(week: int, report: dict[str, Any], status: str, seconds: float, note: str) -> dict[str, Any]:
    """One line of the table."""
    candidate, champion = report["candidate"] or {}, report["champion"] or {}
    failed = [gate["gate"] for gate in report["gates"] if gate["passed"] is False]
    return {
        "week": week,
        "newest row": report["newest_row"][:10],
        "decision": report["decision"],
        "candidate": candidate.get("test", {}).get("timellm", {}).get("mse"),
        "champion": champion.get("test_mse"),
        "content id": (candidate.get("content_id") or "-")[:8],
        "steps": report["steps_run"],
        "status": status,
        "s": round(seconds),
        "why": "; ".join([*failed, *([note] if note else [])]),
    }


def replay(options: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Run all weeks and print each."""
    table = pd.read_csv(options.csv)
    params, series = settings(folder, options), folder / "series.csv"
    rows = []
    for week in range(1, options.weeks + 1):
        note = ""
        if week != NO_NEW_DATA:
            cut = table.iloc[: FIRST_ROWS + WEEK * week].copy()
            if week == BROKEN:
                cut.loc[cut.index[-100:], "MULL"] = 999.0
                note = "a sensor reads 999"
            cut.to_csv(series, index=False)
        else:
            table.iloc[: FIRST_ROWS + WEEK * (BROKEN - 1)].to_csv(series, index=False)
            note = "the file of week 2 again"
        started, statuses = time.perf_counter(), []
        if week == KILLED:
            statuses.append(run("retrain", params, kill_after=folder / "data/06_models/checkpoints"))
            note = "killed and run again"
        statuses.append(run("retrain", params))
        report = newest(folder, "retrain_report.json")
        if report.get("resumed_from"):
            note += f", resumed from step {report['resumed_from'][-1]}"
        shown = "then ".join(str(status) for status in statuses).replace("-9", "killed, ")
        rows.append(row(week, report, shown, time.perf_counter() - started, note))
        print(rows[-1], flush=True)
        if week == ROLLED_BACK and sum(one["decision"] == "promoted" for one in rows) > 1:
            run("rollback", params)
            back = newest(folder, "rollback_report.json")
            print(f"rolled back from {back['from']} to {back['to']}", flush=True)
            rows[-1]["why"] = f"{rows[-1]['why']} then rolled back".strip()
    return pd.DataFrame(rows)


def draw(found: pd.DataFrame, path: Path) -> None:
    """Errors of candidates and champions by week, decisions marked."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(x=found["week"], y=found["champion"], name="champion, scored that week", line_color="#8a94a0")
    colors = {"promoted": "#3a9d6e", "refused": "#d1495b", "nothing new": "#8a94a0"}
    for decision, part in found.groupby("decision"):
        marker = {"size": 13, "color": colors[str(decision)]}
        name = f"candidate: {decision}"
        figure.add_scatter(x=part["week"], y=part["candidate"], mode="markers", name=name, marker=marker)
    for one in found[found["candidate"].isna()].to_dict("records"):
        figure.add_vline(x=one["week"], line={"color": "#e09f3e", "dash": "dot"}, annotation_text=one["why"][:24])
    figure.update_layout(template="plotly_white", title="Weekly retrainings")
    figure.update_layout(xaxis_title="week", yaxis_title="test MSE (scaled units)")
    path.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")


def main() -> None:
    """Replay and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--weeks", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--backbone", default="none")
    parser.add_argument("--folder", type=Path, help="folder for all results (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = replay(options, folder)
        print("\n" + found.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="-"))
        decisions = (folder / "data/06_models/decisions.jsonl").read_text(encoding="utf-8").splitlines()
        print(f"\n{len(decisions)} decisions in the registry; champion:")
        print((folder / "data/06_models/champion.json").read_text(encoding="utf-8"))
        if options.folder:
            draw(found, folder / "replay.html")
            print(f"picture: {folder / 'replay.html'}")


if __name__ == "__main__":
    main()
