"""mmn-edge: train, convert, run and profile MMN, a network for micro-actions, on the edge.

The shared core lives in this package; the stages are :mod:`mmn_edge.train`, :mod:`mmn_edge.convert` and
:mod:`mmn_edge.runtime`. See ``docs/explanation/architecture.md``.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
