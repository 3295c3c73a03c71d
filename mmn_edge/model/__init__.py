"""What a model is, without torch: architecture, classes, presets."""
