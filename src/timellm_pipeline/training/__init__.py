"""The loop, its order, its checkpoints and its end. No Kedro here."""
