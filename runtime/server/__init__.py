"""The one HTTP server of a run."""
