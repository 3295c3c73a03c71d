"""Conversion: checkpoint to ONNX bundle, verified. Needs torch and onnx."""
