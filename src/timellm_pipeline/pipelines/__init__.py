"""Thin pipelines: nodes name and call the functions of the packages below."""
