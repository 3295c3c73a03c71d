"""Formats of data sets, one module each."""
