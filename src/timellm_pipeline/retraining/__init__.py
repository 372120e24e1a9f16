"""Retraining: gates between a candidate and the champion, the registry of champions, and a way back."""
