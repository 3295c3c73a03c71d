"""Data sets: reading, checking, importing, splitting."""
