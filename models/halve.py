"""Make the starting weights of an x2 RRDB from an x4 RRDB: the same network without its second doubling.

python models/halve.py clean-x4 clean-x2-start.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

from aesop.networks.state_dicts import WeightsFile, write_state


def main() -> None:
    """Write the starting weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    asked = parser.parse_args()
    state = WeightsFile.read(asked.model).state
    write_state(asked.output, {key: value for key, value in state.items() if not key.startswith("conv_up2.")}, {})


if __name__ == "__main__":
    main()
