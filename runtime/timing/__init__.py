"""Latencies of a bundle on this machine."""
