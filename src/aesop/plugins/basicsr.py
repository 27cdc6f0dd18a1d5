"""BasicSR: `type: AESOPLoss` instead of the pixel loss.

`python -m aesop.plugins.basicsr -opt FILE.yml` trains as BasicSR's own train.py does; `import aesop.plugins.basicsr`
is enough in a script of one's own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from torchvision.transforms import functional

from aesop.errors import AesopError
from aesop.files import explained
from aesop.plugins import host, register

MEND = "run: pip install --no-build-isolation --no-deps basicsr (docs/plugins.md has all steps)"
GONE = "torchvision.transforms.functional_tensor"


def main() -> None:
    """Train as BasicSR's train.py does; the folder `experiments` is made where the command is called."""
    try:
        setup()
        import_module("basicsr.train").train_pipeline(str(Path.cwd()))
    except (AesopError, FileNotFoundError) as error:
        print(f"aesop: {explained(error) if isinstance(error, OSError) else error}", file=sys.stderr)
        sys.exit(2)


def setup() -> None:
    """Import BasicSR, which needs a module that torchvision has dropped, and register the loss."""
    try:
        import_module(GONE)
    except ModuleNotFoundError:
        sys.modules[GONE] = functional
    register("BasicSR", host("BasicSR", "basicsr.utils.registry", MEND).LOSS_REGISTRY, "AESOPLoss")


if __name__ == "__main__":
    main()
else:
    setup()
