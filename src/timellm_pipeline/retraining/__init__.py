"""Retraining: the gates that a candidate must pass, the registry of champions, and rollback."""
