"""Pose estimators: images in, skeletons out."""
