"""The gates of the newest data, which are decided before anything is trained."""

import math

import pandas as pd

from timellm_pipeline.evaluation.significance import needed_origins
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import GatesParams
from timellm_pipeline.retraining.gates import Gate, limit_gate
from timellm_pipeline.retraining.scoring import common_series
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.clock import age_of, future_by
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import WindowData
from timellm_pipeline.series.steps import LONGEST_BLOCK
from timellm_pipeline.series.value_drift import value_drift

LEAST_COMMON = 0.5  # share of the champion's series that a long table must still have

Rows = tuple[int, int]


def data_gates(
    series: Panel,
    data: WindowData,
    borders: Borders,
    champion: SavedModel | None,
    gates: GatesParams,
    now: pd.Timestamp,
) -> list[Gate]:
    """The gates of the newest data.

    Args:
        series: the validated series in original units.
        data: the scaled series and its windows.
        now: the current time, with a time zone.
    """
    spans = newest_spans(data, borders)
    found = [] if champion is None else [_schema_gate(series, data, champion, gates.champion)]
    found += [
        _filled_gate(series, spans, gates.max_filled),
        *_age_gates(series, gates.max_age, now),
        _drift_gate(data, borders, spans, gates.range_deviations),
    ]
    if gates.champion and gates.prefer == "better":
        found.append(_origins_gate(data, borders, champion is not None))
    return found


def newest_spans(data: WindowData, borders: Borders) -> dict[str, Rows]:
    """The rows in which a recent fault must not be diluted by years of good rows: half-open ranges of the grid."""
    facts = data.index.facts
    newest = facts.seq_len + facts.pred_len
    return {
        "validation and test": (borders.validation[0] + facts.seq_len, borders.test[1]),
        f"the newest {newest:,} rows": (max(data.scaled.num_rows - newest, 0), data.scaled.num_rows),
    }


def _schema_gate(series: Panel, data: WindowData, champion: SavedModel, is_compared: bool) -> Gate:
    """Whether the champion can forecast the series and, if it is compared, the same windows as the candidate."""
    config, facts = champion.config, data.index.facts
    problems, found = _other_channels(series, data, champion, is_compared)
    known = series.known.names if series.known else ()
    needed = tuple(config.trained_on.data.known_columns)
    if needed and known != needed:
        problems.append(
            f"known columns {list_names(list(known)) or 'none'}; the champion needs {list_names(list(needed))}"
        )
    if series.frequency != config.frequency:
        problems.append(f"steps of {series.frequency}")
    if is_compared and facts.pred_len != config.window.pred_len:
        problems.append(f"window.pred_len={facts.pred_len}")
    wanted = f"{list_names(config.channels)}, steps of {config.frequency}, pred_len {config.window.pred_len}"
    return Gate("data: schema", not problems, "; ".join(problems) or found, wanted)


def _other_channels(series: Panel, data: WindowData, champion: SavedModel, is_compared: bool) -> tuple[list[str], str]:
    """Problems with the channels, and what was found if there are none. Series of a long table may begin and end."""
    own, champions = data.scaler.channels, champion.config.channels
    present, known = set(series.ids), set(champions)
    missing, added = [name for name in champions if name not in present], [name for name in own if name not in known]
    if series.source.id_columns:
        if own == champions:
            return [], "as the champion"
        common = len(common_series(data, champion))
        found = f"{common:,} of {len(champions):,} series of the champion have test windows; {len(added):,} are new"
        too_few = is_compared and common < LEAST_COMMON * len(champions)
        return [f"{found}: fewer than half are left"] if too_few else [], found
    problems = [f"channels {list_names(missing)} are missing"] if missing else []
    if is_compared and not missing and own != champions:
        problems.append(f"other channels: {list_names(added)}" if added else "the channels have another order")
    return problems, "as the champion"


def _filled_gate(series: Panel, spans: dict[str, Rows], limit: float | None) -> Gate:
    """The largest share of rows that were filled in, of any channel, in all rows and in each of the newest spans."""
    shares = {"all rows": series.filled_share()} | {name: series.filled_share(rows) for name, rows in spans.items()}
    worst = max(shares.values())
    measured = ", ".join(f"{share:.2%} of {name}" for name, share in shares.items())
    return limit_gate("data: filled-in rows", worst, limit, measured)


def _age_gates(series: Panel, max_age: str | None, now: pd.Timestamp) -> list[Gate]:
    found = []
    age, ahead = age_of(series, now), future_by(series, now)
    if ahead is not None:
        newest = f"{series.stamps[-1]}, {ahead} ahead of now"
        found.append(Gate("data: no rows in the future", False, newest, "not after now"))
    name = "data: age of the newest row"
    if max_age is None:
        found.append(Gate(name, None, f"{age}", "off"))
    else:
        found.append(Gate(name, bool(age <= pd.Timedelta(max_age)), f"{age}", f"at most {max_age}"))
    return found


def _drift_gate(data: WindowData, borders: Borders, spans: dict[str, Rows], limit: float | None) -> Gate:
    """The largest distance of the newest values of any channel outside the range of its training values."""
    drifts = {name: value_drift(data.scaled, borders.train, rows) for name, rows in spans.items()}
    where = max(drifts, key=lambda name: drifts[name].max())
    worst = int(drifts[where].argmax())
    value = float(drifts[where][worst])
    measured = f"{value:.1f} deviations outside the training range in `{data.scaled.ids[worst]}`, {where}"
    return limit_gate("data: range", value, limit, measured)


def _origins_gate(data: WindowData, borders: Borders, has_champion: bool) -> Gate:
    """Whether the test is long enough to compare two models. The first champion is not compared."""
    test, facts = data.windows("test"), data.index.facts
    horizon, step, block = facts.pred_len, facts.test_step, test.origins_per_horizon
    origins, needed = len(test.origins()), needed_origins(block)
    possible = (borders.test[1] - borders.test[0] - facts.seq_len - horizon) // step + 1
    # A longer test may derive another step: its blocks are at most `LONGEST_BLOCK` horizons long.
    is_derived = "test_step" in facts.derived_steps
    rows = math.ceil(needed_origins(1) * LONGEST_BLOCK * horizon) if is_derived else step * (needed - 1)
    rows += horizon + step * (possible - origins)
    measured = f"{origins:,} origins ({step:,} rows apart)"
    if possible > origins:
        measured += f"; gaps exclude {possible - origins:,} more"
    limit = f"at least {needed:,}: a test of {rows:,} rows"
    if facts.split.method == "recent":
        limit += f", split.test_rows={rows}"
    limit += ", or gates.prefer=fresh"
    if origins >= needed:
        return Gate("test: origins", True, measured, f"at least {needed:,}")
    if not has_champion:
        return Gate("test: origins", None, f"{measured}; a comparison with a champion will need", limit)
    return Gate("test: origins", False, measured, limit)
