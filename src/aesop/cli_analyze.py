"""`aesop analyze`: parses, calls, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aesop.cli_options import Imports, import_modules

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer(name="analyze", help="The paper's analysis figures and numbers, for any model.", no_args_is_help=True)

Picture = Annotated[Path, typer.Argument(help="An HR picture.")]
Models = Annotated[list[str], typer.Argument(metavar="[TITLE=]MODEL...", help="bicubic, a run folder or a model file.")]
LR = Annotated[
    Path | None, typer.Option(help="The picture's LR; unset, it is made by bicubic downscaling.", metavar="FILE")
]
Benchmarks = Annotated[
    list[Path], typer.Option("--benchmark", help="A folder as for `aesop evaluate`. Repeatable.", metavar="DIR")
]
AutoEncoderPath = Annotated[
    Path, typer.Option("--autoencoder", help="An auto-encoder, or a run with one.", metavar="FILE|RUN")
]
OptionalAutoEncoder = Annotated[
    Path | None, typer.Option("--autoencoder", help="An auto-encoder, or a run with one.", metavar="FILE|RUN")
]
Output = Annotated[Path, typer.Option(help="The figure: .png, .svg or .pdf.", metavar="FILE")]
Json = Annotated[Path | None, typer.Option("--json", help="Write all values to this file.", metavar="FILE")]
Sigma = Annotated[float, typer.Option(min=0.1, max=16, help="Standard deviation of the Gaussian, pixels.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, ...")]


@app.command()
def spectra(
    picture: Picture,
    *,
    autoencoder: AutoEncoderPath,
    output: Output,
    sigma: Sigma = 1.5,
    device: Device = "cpu",
    imports: Imports = None,
) -> None:
    """Spectral magnitudes of a picture, auto-encoded and low-passed, and their difference (figures 6, 19)."""
    from aesop.analysis.drawing import require_drawable
    from aesop.analysis.models import load_autoencoder
    from aesop.analysis.spectra import draw_spectra
    from aesop.analysis.spectra import spectra as compute
    from aesop.data.pictures import to_float
    from aesop.files import printable
    from aesop.upscaling.device import choose_device

    import_modules(imports)
    require_drawable(output)
    network = load_autoencoder(autoencoder, choose_device(device))
    hr = to_float(_read(picture, None, network.scale)[0])
    found = compute(hr, network, network.scale, sigma)
    draw_spectra(found, output)
    shares = (
        f"the auto-encoder {found.autoencoded.reproduced:.1%}, the low-pass filter {found.low_passed.reproduced:.1%}"
    )
    print(f"of what the picture has beyond LR's band, {shares} remains")
    print(printable(output))


@app.command()
def loss_maps(
    picture: Picture,
    models: Models,
    *,
    autoencoder: AutoEncoderPath,
    output: Output,
    lr: LR = None,
    sigma: Sigma = 1.5,
    device: Device = "cpu",
    imports: Imports = None,
) -> None:
    """Where in a picture the pixel, AESOP and high-pass losses penalise, and the fidelity biases (figures 3, 8)."""
    from aesop.analysis.drawing import require_drawable
    from aesop.analysis.loss_maps import draw_loss_maps
    from aesop.analysis.loss_maps import loss_maps as compute
    from aesop.analysis.models import fidelity_bias, load_autoencoder, load_models, parse_models
    from aesop.data.pictures import to_float
    from aesop.files import printable
    from aesop.upscaling.device import choose_device

    import_modules(imports)
    require_drawable(output)
    chosen = choose_device(device)
    network = load_autoencoder(autoencoder, chosen)
    loaded = load_models(parse_models(models), network.scale, chosen)
    pixels, low = _read(picture, lr, network.scale)
    hr = to_float(pixels)
    bias = fidelity_bias(network, hr)
    found = {title: compute(upscale(low), hr, network, hr_bias=bias, sigma=sigma) for title, upscale in loaded.items()}
    draw_loss_maps(hr, bias, found, output)
    for title, maps in found.items():
        values = f"pixel {maps.pixel.mean():.5f}, AESOP {maps.aesop.mean():.5f}, high-pass {maps.high_pass.mean():.5f}"
        print(f"{title}: {values}")
    print(printable(output))


@app.command()
def loss_scales(
    runs: Annotated[list[str], typer.Argument(metavar="[TITLE=]RUN...", help="Run folders with a perceptual stage.")],
    output: Output,
    benchmark: Annotated[
        list[Path] | None,
        typer.Option(help="Pictures for a loss that the log lacks, from snapshots. Repeatable.", metavar="DIR"),
    ] = None,
    autoencoder: OptionalAutoEncoder = None,
    device: Device = "cpu",
    imports: Imports = None,
) -> None:
    """Sizes of the pixel loss and the AESOP loss along trainings (figure 9)."""
    from aesop.analysis.drawing import require_drawable
    from aesop.analysis.loss_scales import draw_loss_scales
    from aesop.analysis.loss_scales import loss_scales as compute
    from aesop.analysis.models import load_autoencoder, parse_models
    from aesop.evaluation.benchmarks import open_benchmark
    from aesop.files import printable
    from aesop.upscaling.device import choose_device

    import_modules(imports)
    require_drawable(output)
    network = None if autoencoder is None else load_autoencoder(autoencoder, choose_device(device))
    pairs = []
    if network is not None:
        sources = [pair for folder in benchmark or [] for pair in open_benchmark(folder, network.scale).pairs]
        pairs = [(lr, hr) for hr, lr in (source.read(network.scale) for source in sources)]
    found = [compute(Path(run.model), pairs, network, run.title) for run in parse_models(runs)]
    draw_loss_scales(found, output)
    for run in found:
        for curve in run.curves:
            source = "training crops" if curve.recorded else "snapshots"
            print(
                f"{run.title}: {curve.loss} {curve.values[0]:.5f} to {curve.values[-1]:.5f}, "
                f"weighted {curve.weight * curve.values[-1]:.5f} ({source})"
            )
    print(printable(output))


@app.command()
def bias_variance(
    models: Models,
    benchmark: Benchmarks,
    autoencoder: AutoEncoderPath,
    json: Json = None,
    device: Device = "cpu",
    imports: Imports = None,
) -> None:
    """The paper's SE and VE of models over benchmarks, estimated through the auto-encoder.

    Exit status 2 if a picture could not be measured; the tables hold the others.
    """
    from aesop.analysis.bias_variance import measure_bias_variance, print_bias_variance, write_bias_variance
    from aesop.analysis.models import load_autoencoder, load_models, parse_models
    from aesop.files import printable, require_writable
    from aesop.upscaling.device import choose_device

    import_modules(imports)
    if json is not None:
        require_writable(json)
    chosen = choose_device(device)
    network = load_autoencoder(autoencoder, chosen)
    loaded = load_models(parse_models(models), network.scale, chosen)
    found = measure_bias_variance(loaded, benchmark, network, network.scale)
    print_bias_variance(found)
    if json is not None:
        write_bias_variance(found, json)
        print(printable(json))
    if any(result.failures for result in found):
        raise typer.Exit(2)


@app.command()
def crops(
    picture: Picture,
    models: Models,
    *,
    output: Output,
    lr: LR = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="TOP,LEFT,SIDE", help="A square, in HR pixels. Repeatable.")
    ] = None,
    boxes: Annotated[int, typer.Option(min=1, max=9, help="How many squares are found, if none is given.")] = 2,
    side: Annotated[int, typer.Option(min=8, help="The side of squares that are found, in HR pixels.")] = 64,
    metrics: Annotated[str, typer.Option(help="Names separated by commas; '' for none.")] = "psnr",
    without_hr: Annotated[bool, typer.Option("--without-hr", help="PICTURE is LR; there is no HR.")] = False,
    scale: Annotated[int, typer.Option(min=2, help="The models' scale.")] = 4,
    autoencoder: OptionalAutoEncoder = None,
    device: Device = "cpu",
    imports: Imports = None,
) -> None:
    """Crops of models side by side, with boxes and metric values (figures 5, 7, 20 to 23)."""
    from aesop.analysis.crops import as_seen, crop_sheet, draw_crops, find_places, measured_captions, parse_box
    from aesop.analysis.drawing import require_drawable
    from aesop.analysis.models import load_autoencoder, load_models, parse_models
    from aesop.data.pictures import read_picture, to_float, to_planes
    from aesop.errors import AesopError
    from aesop.files import printable
    from aesop.metrics import Settings
    from aesop.upscaling.device import choose_device

    import_modules(imports)
    require_drawable(output)
    places = [parse_box(text) for text in box or []]
    if without_hr and lr is not None:
        raise AesopError("--lr and --without-hr: the picture is LR already; take one of them.")
    chosen = choose_device(device)
    loaded = load_models(parse_models(models), scale, chosen)
    encoder = None if autoencoder is None else load_autoencoder(autoencoder, chosen)
    hr = None
    if without_hr:
        low = to_planes(read_picture(picture))
    else:
        pixels, low = _read(picture, lr, scale)
        hr = to_float(pixels)
    found = {title: as_seen(upscale(low)) for title, upscale in loaded.items()}
    reference = next(reversed(found.values())) if hr is None else hr
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    captions, notes = measured_captions(found, hr, low, names, Settings(scale, chosen, encoder))
    shown = found if hr is None else {**found, "HR": hr}
    sheet = crop_sheet(reference, shown, places or find_places(reference, low, boxes, side), captions)
    draw_crops(sheet, output, printable(picture.stem))
    for note in notes:
        print(note, file=sys.stderr)
    print("boxes: " + " ".join(f"{place.top},{place.left},{place.side}" for place in sheet.places))
    print(printable(output))


@app.command()
def curves(
    methods: Annotated[
        list[str],
        typer.Argument(
            metavar="[TITLE=]METHOD...", help="Run folders; between weights, the networks of share 1, files or runs."
        ),
    ],
    benchmark: Benchmarks,
    output: Output,
    along: Annotated[
        str, typer.Option(help="checkpoints (of each run) or weights (between --start and each network).")
    ] = "checkpoints",
    start: Annotated[
        Path | None, typer.Option(help="The network of share 0; unset, each run's fidelity network.", metavar="MODEL")
    ] = None,
    shares: Annotated[str, typer.Option(help="Shares of each network, 0 to 1.")] = "0,0.2,0.4,0.6,0.8,1",
    points: Annotated[int, typer.Option(min=1, help="At most how many checkpoints of a run.")] = 10,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="[TITLE=]MODEL", help="A single model to show beside the curves. Repeatable."),
    ] = None,
    x: Annotated[str, typer.Option("--x", help="The horizontal metric.")] = "psnr",
    y: Annotated[str, typer.Option("--y", help="The vertical metric.")] = "lpips",
    json: Json = None,
    autoencoder: OptionalAutoEncoder = None,
    device: Device = "cpu",
    imports: Imports = None,
) -> None:
    """Perception-distortion curves of many methods, by any two metrics (figures 4, 12 to 18)."""
    import tempfile

    from aesop.analysis.curves import Waypoint, between, checkpoints, draw_curves, measure_curves, starting_network
    from aesop.analysis.drawing import require_drawable
    from aesop.analysis.models import parse_models
    from aesop.errors import AesopError, ModelError
    from aesop.files import printable, require_writable

    import_modules(imports)
    require_drawable(output)
    if json is not None:
        require_writable(json)
    if along not in ("checkpoints", "weights"):
        raise AesopError(f"--along {along}: choose checkpoints or weights.")
    parsed = parse_models([*methods, *(point or [])])
    with tempfile.TemporaryDirectory() as folder:
        waypoints: dict[str, list[Waypoint]] = {}
        for number, named in enumerate(parsed):
            model = Path(named.model)
            if number >= len(methods):
                waypoints[named.title] = [Waypoint("", named.model)]
            elif along == "checkpoints":
                waypoints[named.title] = checkpoints(model, points)
            else:
                first = start or starting_network(model)
                if first is None:
                    raise ModelError(f"{model}: has no fidelity network beside it; name one with --start.")
                waypoints[named.title] = between(first, model, Path(folder), named.title, _shares(shares))
        found = measure_curves(waypoints, benchmark, x, y, autoencoder=autoencoder, device=device)
    draw_curves(found, output)
    if json is not None:
        found.to_json(json)
        print(printable(json))
    for failure in found.evaluation.failures:
        print(f"{failure.benchmark}/{failure.picture} ({failure.model}): {failure.reason}", file=sys.stderr)
    print(printable(output))
    if found.evaluation.failures:
        raise typer.Exit(2)


def _read(picture: Path, lr: Path | None, scale: int) -> tuple[Tensor, Tensor]:
    """HR, cropped to multiples of the scale, and LR, both uint8."""
    from aesop.data.sources import Source

    return Source(picture.name, picture, lr, "").read(scale)


def _shares(text: str) -> list[float]:
    from aesop.errors import AesopError

    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise AesopError(f"--shares {text}: are not numbers separated by commas.") from error
