"""What this machine has: files, optional packages, TensorRT."""
