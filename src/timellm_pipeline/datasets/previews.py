"""Types that determine how kedro-viz draws the preview of a dataset.

kedro-viz 12 selects the kind of preview by the name of the return annotation of `preview()` and draws nothing for an
unknown name, so the names here are part of its interface. kedro-datasets defines the same types in a private module.
"""

from typing import Any, NewType

TablePreview = NewType("TablePreview", dict[str, Any])  # {"index": …, "columns": …, "data": …}: orient="split"
JSONPreview = NewType("JSONPreview", str)
PlotlyPreview = NewType("PlotlyPreview", dict[str, Any])  # {"data": …, "layout": …}
