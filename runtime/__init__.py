"""The runtime: sources, windows, backends, sinks. No torch, no onnx."""
