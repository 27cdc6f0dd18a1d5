"""`aesop analyze loss-maps`: parses, calls, prints."""

from __future__ import annotations

from aesop.cli import options
from aesop.cli.analyze.common import LR, Output, Picture, Sigma, begin, end


def loss_maps(
    picture: Picture,
    models: options.Models,
    *,
    autoencoder: options.RequiredAutoEncoder,
    output: Output,
    lr: LR = None,
    sigma: Sigma = 1.5,
    device: options.Device = "auto",
    imports: options.Imports = None,
) -> None:
    """Draw where in a picture each loss penalises.

    The pixel, AESOP and high-pass losses and the fidelity biases (figures 3 and 8).
    """
    chosen = begin(imports, device, output)
    from aesop.analysis import draw_loss_maps, measure_loss_maps
    from aesop.evaluation.model_names import titled_models

    found = measure_loss_maps(picture, titled_models(models), autoencoder, lr=lr, sigma=sigma, device=chosen)
    draw_loss_maps(found, output)
    end(output, found.summary())
