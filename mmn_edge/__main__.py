"""``python -m mmn_edge`` is ``mmn-edge``."""

from mmn_edge.cli import main

if __name__ == "__main__":
    main()
