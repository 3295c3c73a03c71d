"""The network itself, in PyTorch: the only package of the core that imports torch."""

from mmn_edge.network.checkpoint import build_network, load_safely, read_checkpoint
from mmn_edge.network.mmn import MMN

__all__ = ["MMN", "build_network", "load_safely", "read_checkpoint"]
