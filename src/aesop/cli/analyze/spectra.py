"""`aesop analyze spectra`: parses, calls, prints."""

from __future__ import annotations

from aesop.cli import options
from aesop.cli.analyze.common import Output, Picture, Sigma, begin, end


def spectra(
    picture: Picture,
    *,
    autoencoder: options.RequiredAutoEncoder,
    output: Output,
    sigma: Sigma = 1.5,
    device: options.Device = "auto",
    imports: options.Imports = None,
) -> None:
    """Draw spectra of a picture and its auto-encoding.

    Log magnitudes of the picture, auto-encoded and low-passed, and their difference (figures 6 and 19).
    """
    chosen = begin(imports, device, output)
    from aesop.analysis import draw_spectra, measure_spectra

    found = measure_spectra(picture, autoencoder, sigma=sigma, device=chosen)
    draw_spectra(found, output)
    end(output, found.summary())
