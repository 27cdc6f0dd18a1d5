"""`aesop analyze`: a file a figure."""

from __future__ import annotations

import typer

from aesop.cli.analyze import crops, curves, loss_maps, loss_scales, spectra
from aesop.cli.options import examples

app = typer.Typer(name="analyze", help="Draw the paper's analysis figures for any model.", no_args_is_help=True)
for _command, _example in (
    (spectra.spectra, "aesop analyze spectra photo.png --autoencoder runs/first --output fft.pdf"),
    (loss_maps.loss_maps, "aesop analyze loss-maps hr.png x4.pth --autoencoder runs/a --output maps.pdf"),
    (loss_scales.loss_scales, "aesop analyze loss-scales runs/first runs/pixel --output scales.pdf"),
    (crops.crops, "aesop analyze crops photo.png old.pth new.pth --output crops.pdf"),
    (curves.curves, "aesop analyze curves runs/first a.pth:b.pth --benchmark Set5 --output pd.pdf"),
):
    app.command(epilog=examples(_example))(_command)
