"""What a machine is, what keeps mmn-edge from working on it, and what mends that."""
