"""Where skeletons and images come from."""
