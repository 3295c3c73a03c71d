"""TensorRT engines, and CUDA as they need it."""
