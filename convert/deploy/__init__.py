"""MMN rewritten for inference, and the interfaces that it is given."""
