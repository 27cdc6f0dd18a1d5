"""`aesop train`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli.options import Argument, Device, Option, RecipeName, named_pictures, share_cores
from aesop.heap import share_heap


def train(
    recipe: RecipeName,
    overrides: Annotated[
        list[str] | None, Argument(metavar="KEY=VALUE", help="Values that replace the recipe's, e.g. steps=3.")
    ] = None,
    *,
    data: Annotated[
        Path | None, Option(help="Folder of pictures (HR, or HR and LR) or s3://BUCKET/PREFIX.", metavar="DIR")
    ] = None,
    hr: Annotated[Path | None, Option(help="Instead of --data: folder of HR pictures.", metavar="DIR")] = None,
    lr: Annotated[Path | None, Option(help="Folder of the LR pictures of --hr.", metavar="DIR")] = None,
    # torchrun takes `--run` for one of its own options; the longer name passes it by.
    run: Annotated[
        Path,
        Option("--run", "--run-folder", help="Folder for all results; an interrupted run is resumed.", metavar="DIR"),
    ],
    validation: Annotated[
        Path | None, Option(help="Folder of held-out pictures; unset, some of the data.", metavar="DIR")
    ] = None,
    store: Annotated[
        Path | None, Option(help="Folder for the prepared pictures; unset, a cache folder.", metavar="DIR")
    ] = None,
    store_size: Annotated[
        float | None, Option(help="Gigabytes of tiles of an address to keep; unset, 50.", min=0, metavar="GB")
    ] = None,
    devices: Annotated[
        int | None,
        Option(help="Number of devices on each machine; unset, as torchrun or SLURM says, or 1.", min=1, metavar="N"),
    ] = None,
    nodes: Annotated[
        int | None, Option(help="Number of machines; unset, as torchrun or SLURM says, or 1.", min=1, metavar="N")
    ] = None,
    until: Annotated[str | None, Option(help="Last stage to train; unset, all of them.", metavar="STAGE")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Tell what would be trained, and stop.")] = False,
    device: Device = "auto",
) -> None:
    """Train a network by a recipe, stage by stage.

    The stages are the fidelity network, the auto-encoder and the perceptual network. Finished stages are skipped; an
    interrupted one is resumed from its last checkpoint.
    """
    share_cores()
    share_heap()
    from aesop.training.recipe_files import load_recipe

    pictures = named_pictures(data, hr, lr)
    loaded = load_recipe(recipe, overrides or [])
    from aesop.training.fabric import rank_zero_only
    from aesop.training.train import train as run_training

    run_training(
        loaded,
        pictures,
        run,
        lr=lr,
        validation=validation,
        store=store,
        store_size=store_size,
        devices=devices,
        nodes=nodes,
        device=device,
        until=until,
        plan=True,
        dry_run=dry_run,
    )
    if not dry_run:
        rank_zero_only(print)(run)
