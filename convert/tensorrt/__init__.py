"""TensorRT engines: built from ONNX models, and read back."""
