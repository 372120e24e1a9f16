"""Read and write panels and window indexes as Parquet files with metadata in the Arrow schema.

A panel is stored as a long table (`unique_id, ds, y`, as in other forecasting libraries). Only `y` and the metadata
are read back: ids and time stamps are reconstructed from the metadata. Values that do not fit into memory, and known
columns, are arrays in files beside it, `<name>.values.npy` and `<name>.known.npy`, which are mapped into memory.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.series.known import Known
from timellm_pipeline.series.mapped import open_array, write_array
from timellm_pipeline.series.panel import Panel, Source
from timellm_pipeline.series.segments import Segments
from timellm_pipeline.series.windows import IndexFacts, WindowIndex

KEY = b"timellm_pipeline"


def write_panel(panel: Panel, path: Path) -> None:
    """Write a panel to a new file, and its large arrays to files beside it."""
    import pyarrow as pa

    facts = {
        "ids": panel.ids,
        "offsets": panel.offsets.tolist(),
        "first": panel.first.tolist(),
        "start": panel.start.isoformat(),
        "frequency": panel.frequency,
        "zone": panel.zone,
        "filled": panel.filled.tolist(),
        "drop_filled": panel.drop_filled,
        "source": vars(panel.source),
        "data_id": panel.data_id,
        "facts": panel.facts,
        "arrays": [],
    }
    if panel.known is not None:
        known = panel.known
        facts["known"] = {"names": known.names, "start": known.start.tolist(), "length": known.length.tolist()}
        facts["arrays"].append("known")
        write_array(known.values, _beside(path, "known"))
    stamps = panel.stamps.to_numpy()
    if panel.folder is not None:  # one row for each series
        facts["arrays"].append("values")
        write_array(panel.values, _beside(path, "values"))
        columns = {
            "unique_id": pa.array(panel.ids),
            "ds": pa.array(stamps[panel.first]),
            "rows": pa.array(panel.lengths),
        }
    else:
        numbers = np.repeat(np.arange(panel.num_series, dtype=np.int32), panel.lengths)
        rows = np.arange(len(panel.values)) - np.repeat(panel.offsets[:-1] - panel.first, panel.lengths)
        columns = {
            "unique_id": pa.DictionaryArray.from_arrays(numbers, list(panel.ids)),
            "ds": pa.array(stamps[rows]),
            "y": pa.array(panel.values),
        }
    _write(columns, facts, path)


def read_panel(path: Path) -> Panel:
    """The panel in a file. Raises OSError, ValueError or KeyError for any other file; see `find_damage`."""
    facts = _facts(path)
    arrays = {name: open_array(_beside(path, name)) for name in facts.get("arrays", ())}
    known = facts.get("known")
    return Panel(
        ids=tuple(facts["ids"]),
        values=arrays["values"] if "values" in arrays else _read(path, ["y"])["y"],
        offsets=np.array(facts["offsets"], dtype=np.int64),
        first=np.array(facts["first"], dtype=np.int64),
        start=pd.Timestamp(facts["start"]),
        frequency=facts["frequency"],
        zone=facts["zone"],
        filled=np.array(facts["filled"], dtype=np.int64).reshape(-1, 3),
        drop_filled=facts["drop_filled"],
        source=_source(facts["source"]),
        data_id=facts["data_id"],
        known=known
        and Known(tuple(known["names"]), arrays["known"], np.array(known["start"]), np.array(known["length"])),
        facts=tuple(facts.get("facts", ())),
        folder=path.parent.parent if "values" in arrays else None,
    )


def write_index(index: WindowIndex, path: Path) -> None:
    """Write a window index to a new file, one row per segment."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "split": pa.array(np.repeat(list(index.splits), [len(split.first) for split in index.splits.values()])),
        "unique_id": pa.array([index.ids[number] for split in index.splits.values() for number in split.series]),
    }
    for name in ("series", "first", "count", "step"):
        columns[name] = pa.array(np.concatenate([getattr(split, name) for split in index.splits.values()]))
    _write(columns, {"ids": index.ids, "facts": index.facts.model_dump(mode="json")}, path)


def read_index(path: Path) -> WindowIndex:
    """The window index in a file. Raises the same errors as `read_panel`."""
    columns, facts = _read(path, ["split", "series", "first", "count", "step"]), _facts(path)
    splits = {}
    for name in dict.fromkeys(columns["split"]):
        chosen = columns["split"] == name
        splits[str(name)] = Segments(*(columns[key][chosen] for key in ("series", "first", "count", "step")))
    return WindowIndex(tuple(facts["ids"]), splits, IndexFacts.model_validate(facts["facts"]))


def find_damage(path: Path) -> str | None:
    """Description of the damage to a file of this module, or None if there is none. The values are not read."""
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, ValueError) as error:
        return f"incomplete Parquet: {error}"
    if KEY not in metadata:
        return "its schema has no metadata of this package: it was written by an earlier version"
    for name in json.loads(metadata[KEY]).get("arrays", ()):
        try:
            open_array(_beside(path, name))
        except (OSError, EOFError, ValueError) as error:
            return f"incomplete array of {name}: {error}"
    return None


def _source(facts: dict[str, Any]) -> Source:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return Source(**values)


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}.{name}.npy")


def _write(columns: dict[str, Any], facts: dict[str, Any], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(facts, ensure_ascii=False)})
    pq.write_table(table, path)


def _read(path: Path, columns: list[str]) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=columns)
    return {name: table.column(name).to_numpy() for name in columns}


def _facts(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    facts: dict[str, Any] = json.loads(pq.read_schema(path).metadata[KEY])
    return facts
