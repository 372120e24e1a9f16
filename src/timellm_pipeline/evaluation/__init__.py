"""Evaluation of forecasts: errors, baselines, scores, significance. Training uses it for validation."""
