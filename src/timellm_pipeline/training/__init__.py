"""Training: the loop, the order of windows, checkpoints and results. This package does not import Kedro."""
