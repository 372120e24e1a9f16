"""The history of the champions as one HTML page that works offline."""

import html
from pathlib import Path

from timellm_pipeline.errors import StorageError, escape
from timellm_pipeline.files import write_atomic
from timellm_pipeline.plots.champions import plot_champions
from timellm_pipeline.retraining.gates import MARKS
from timellm_pipeline.retraining.history import ChampionPeriod, Entry, History

EXPLANATION = (
    "The error of a champion is that on values which arrived after its promotion, computed by each later retraining. "
    "Neighbouring points share values: each uses the newest test."
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222; }
table { border-collapse: collapse; width: 100%; margin: 1em 0; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: .3em .6em; border-bottom: 1px solid #ddd; }
td { white-space: nowrap; }
td:last-child, table table td { white-space: normal; overflow-wrap: anywhere; }
.promoted { color: #2b7a55; } .refused { color: #b3303f; } .rolled { color: #a86f0c; }
summary { cursor: pointer; }
"""


def write_history(history: History, path: Path) -> None:
    """Write the page. Raises StorageError when `path` is a folder."""
    if path.is_dir():
        raise StorageError("the page is a folder", where=str(path), do="use the name of a file: --page history.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render(history).encode())


def render(history: History) -> str:
    """The page: what to read first, the figure, the champions, and every decision with its gates, newest first."""
    facts = "".join(f"<tr><th>{_text(name)}</th>{_cells(value)}</tr>" for name, value in history.facts().items())
    champions = [_champion_row(period) for period in reversed(history.champions())]
    decisions = [_decision_row(entry) for entry in reversed(history.entries)]
    parts = [
        f'<!doctype html><meta charset="utf-8"><title>Retraining</title><style>{STYLE}</style>',
        f"<h1>Retraining</h1><table>{facts}</table><p>{EXPLANATION}</p>",
        plot_champions(history.live(), history.decisions()).to_html(include_plotlyjs=True, full_html=False),
        "<h2>Champions</h2>",
        _table(["version", "from", "until", "test MSE at promotion", "MSE after promotion", "how"], champions),
        "<h2>Decisions</h2>",
        _table(["time", "newest row", "decision", "version", "test MSE", "reason and gates"], decisions),
        f"<p>Written {history.now:%Y-%m-%d %H:%M} UTC from the decision journal.</p>",
    ]
    return "\n".join(parts)


def _table(heads: list[str], rows: list[str]) -> str:
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{''.join(rows)}</table>"


def _champion_row(period: ChampionPeriod) -> str:
    errors = [entry.decision.live.mse for entry in period.live if entry.decision.live]
    live = f"{errors[-1]:.4f} (newest of {len(errors)})" if errors else "-"
    until = _minutes(period.until) if period.until else "now"
    start = period.start
    return _row(period.version, _minutes(start.time), until, _number(period.test_mse), live, start.decision)


def _decision_row(entry: Entry) -> str:
    decision = entry.decision
    gates = "".join(
        _row(_mark(gate.get("passed")), gate.get("gate"), gate.get("found"), gate.get("limit"))
        for gate in decision.gates
    )
    reason = _text(decision.reason or (f"from version {decision.from_version}" if decision.from_version else ""))
    if gates:
        reason += f"<details><summary>{len(decision.gates)} gates</summary><table>{gates}</table></details>"
    kind = f'<td class="{_text(entry.kind.partition(" ")[0])}">{_text(entry.kind)}</td>'
    times = _cells(_minutes(decision.time), _minutes(entry.newest_row))
    return f"<tr>{times}{kind}{_cells(decision.version or '-', _number(decision.test_mse))}<td>{reason}</td></tr>"


def _mark(passed: object) -> str:
    return MARKS[passed] if isinstance(passed, bool) else MARKS[None]


def _minutes(time: str) -> str:
    """A time stamp to the minute."""
    return time[:16].replace("T", " ")


def _row(*values: object) -> str:
    return f"<tr>{_cells(*values)}</tr>"


def _cells(*values: object) -> str:
    return "".join(f"<td>{_text(value)}</td>" for value in values)


def _text(value: object) -> str:
    """Names and values from files, so that they can neither add HTML nor a line."""
    return html.escape(escape(value))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
