"""Latencies as reports: their statistics, comparisons, gates, pages and charts."""
