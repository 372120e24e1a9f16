"""Thin pipelines: nodes name and call what the rooms under them do."""
