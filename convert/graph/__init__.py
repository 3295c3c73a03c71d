"""ONNX graphs: written, derived in other precisions, and checked."""
