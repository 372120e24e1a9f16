"""Raw files, panels, splits, scaling and the window index. Uses numpy and pandas, not torch."""
