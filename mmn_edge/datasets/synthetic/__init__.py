"""Synthetic people: a kinematic body, its movements, clips of it."""
