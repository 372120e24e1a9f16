"""Worker processes: their group, the folder of their job, their start, and signals. This package imports no model."""
