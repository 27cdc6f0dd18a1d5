"""`aesop models`: prints."""

from __future__ import annotations


def models() -> None:
    """List the models in the box.

    A name does wherever a model file is wanted. The card says what a model was trained on, its licences and limits.
    """
    from aesop.box import models as in_the_box
    from aesop.networks.state_dicts import read_metadata

    for name, file in in_the_box().items():
        size = f"{file.stat().st_size / 1e6:.1f} MB"
        print(f"{name:16} {size:>7}  {read_metadata(file)['recipe']['about']}; card: {file.with_suffix('.md')}")
