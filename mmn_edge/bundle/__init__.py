"""The file between stages: a model bundle, its engines, its advice."""
