"""Skeletons that sensors send over the network."""
