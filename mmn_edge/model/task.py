"""What a model is for."""

__all__ = ["CLASSIFY", "DETECT", "TASKS"]

CLASSIFY, DETECT = TASKS = ("classify", "detect")
"""One class a window (softmax), or for each class whether it goes on (sigmoids)."""
