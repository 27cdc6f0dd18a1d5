"""Write OpenModelDB's JSON file of each network in the box next to its card, for a pull request there.

    python models/cards.py

Most entries come from the model file and its metadata; the rest is in `KNOWN` and `DATASET`. OpenModelDB also requires
a download address: add it to `urls` once the file is published.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aesop
from aesop.files import write_atomically
from aesop.networks.state_dicts import WeightsFile

#: What model files do not record: the date of publication and tags of each, and the pictures that all were trained on
#: (those of the table that are not held out).
KNOWN = {
    "clean-x4": {"date": "2026-11-30", "tags": ["general-upscaler", "photo", "faithful"]},
    "clean-x4-aesop": {"date": "2026-11-30", "tags": ["general-upscaler", "photo"]},
    "photo-x2": {"date": "2026-11-30", "tags": ["general-upscaler", "photo", "faithful", "jpeg"]},
    "photo-x4": {"date": "2026-11-30", "tags": ["general-upscaler", "photo", "faithful", "jpeg"]},
}
DATASET = {
    "dataset": "Free photographs and textures out of Debian's packages, listed in models/pictures.tsv",
    "datasetSize": 381,
}


def entry(name: str) -> dict[str, Any]:
    """Build the entry of a network in the box, in OpenModelDB's format."""
    file = WeightsFile.read(aesop.models()[name])
    recipe = file.metadata["recipe"]
    stage, generator, known = recipe[file.metadata["stage"]], recipe["generator"], KNOWN[name]
    card = file.path.with_suffix(".md").read_text(encoding="utf-8")
    return {
        "name": f"AESOP {name}",
        "author": "aesop-sr",
        "license": "Apache-2.0",
        "tags": known["tags"],
        "description": " ".join(card.split("\n\n")[1].split()),
        "date": known["date"],
        "architecture": "esrgan",
        "size": [f"{generator['features']}nf", f"{generator['blocks']}nb"],
        "scale": recipe["scale"],
        "inputChannels": 3,
        "outputChannels": 3,
        "resources": [
            {
                "platform": "pytorch",
                "type": "safetensors",
                "size": file.path.stat().st_size,
                "sha256": file.sha256,
                "urls": [],
            }
        ],
        "trainingIterations": file.metadata["iteration"],
        "trainingBatchSize": stage.get("total_batch") or stage["batch"],
        "trainingHRSize": stage["crop"],
        "trainingOTF": recipe["degradation"] is not None,
        **DATASET,
        "images": [],
    }


def main() -> None:
    """Write all entries."""
    for name in KNOWN:
        path = Path(aesop.models()[name]).with_suffix(".json")
        write_atomically(path, json.dumps(entry(name), indent=4, ensure_ascii=False) + "\n")
        print(path)


if __name__ == "__main__":
    main()
