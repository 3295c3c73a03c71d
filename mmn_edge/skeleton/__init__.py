"""Skeletons: frames, layouts, mappings between them, recordings, preprocessing."""
