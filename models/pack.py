"""Put a trained network into the box, in half precision and with the metadata that is worth shipping.

python models/pack.py clean-x4 RUN/STAGE/FILE.safetensors [--about TEXT]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import aesop.box
from aesop.networks.state_dicts import WeightsFile, write_state

#: The metadata of a packed file. Versions of packages and of the system are left out.
KEPT = ("recipe", "stage", "iteration")


def main() -> None:
    """Write the packed file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("--about", help="one line on the model (default: its recipe's)")
    asked = parser.parse_args()
    trained = WeightsFile.read(asked.file)
    if asked.about:
        trained.metadata["recipe"]["about"] = asked.about
    state = {key: value.half() if value.is_floating_point() else value for key, value in trained.state.items()}
    target = Path(aesop.box.__file__).with_name(f"{asked.name}.safetensors")
    write_state(target, state, {key: trained.metadata[key] for key in KEPT})
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
