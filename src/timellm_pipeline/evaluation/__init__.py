"""How good forecasts are: errors, baselines, pictures. Training uses it to validate."""
