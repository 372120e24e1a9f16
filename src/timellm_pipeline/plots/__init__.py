"""Plotly figures: training, test, forecasts, the run plan, prototypes."""
