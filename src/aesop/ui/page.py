"""The page of `aesop ui`: pictures in, a slider between before and after, results to download."""

# Gradio evaluates annotations, so that they are not put off here.
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Default

from aesop.box import resolved
from aesop.errors import AesopError
from aesop.networks.interpolate import ends_of_dial
from aesop.ui.work import Work, preview
from aesop.upscaling.formats import FORMATS, SUFFIXES

#: How many pictures are taken at once.
MOST = 100
AS_INPUT, OWN = "as the input", "the model's"
#: Fonts that every system has: others would be fetched.
THEME = Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])


def has_dial(model: str) -> bool:
    """Tell whether a model is the perceptual one of two networks, between which the dial runs."""
    ends = ends_of_dial(model)
    return ends is not None and resolved(model) != ends[0]


def build(offered: list[str], preselected: str, folder: str, device: str) -> gr.Blocks:
    """Build the page, which offers models by name or path; `folder` takes its files."""
    at_work: dict[str, Work] = {}

    def upscale(
        uploads: list[str] | None, model: str, scale: str, format: str, fidelity: float, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        nothing = (gr.skip(),) * 4
        if not uploads or len(uploads) > MOST:
            yield ("Choose a picture first." if not uploads else f"At most {MOST} pictures at once.", *nothing)
            return
        try:
            settings = {
                "model": model,
                "scale": None if scale == OWN else float(scale),
                "format": None if format == AS_INPUT else format,
                "fidelity": fidelity if has_dial(model) else None,
                "device": device,
            }
        except ValueError:
            yield (f"Scale: a number is expected, not {scale}.", *nothing)
            return
        forget(request)
        work = at_work[str(request.session_hash)] = Work.of(uploads, Path(folder), **settings)
        for part, name in work.run():
            yield (f"{part:.0%} {name}", *nothing)
        results = work.results
        names = [source.name for source, _ in results]
        yield (
            work.told(),
            gr.update(value=_shown(results, names[0]) if names else None),
            gr.update(choices=names, value=names[0] if names else None, visible=len(names) > 1),
            [str(result) for _, result in results] or None,
            [(str(source), str(result)) for source, result in results],
        )

    def cancel(request: gr.Request) -> None:
        if (work := at_work.get(str(request.session_hash))) is not None:
            work.stop.set()

    def show(name: str | None, results: list[tuple[str, str]]) -> Any:
        return _shown([(Path(source), Path(result)) for source, result in results], name)

    def forget(request: gr.Request) -> None:
        if (work := at_work.pop(str(request.session_hash), None)) is not None:
            work.stop.set()
            shutil.rmtree(work.folder, ignore_errors=True)

    with gr.Blocks(title="AESOP", analytics_enabled=False, delete_cache=(600, 86_400)) as page:
        gr.Markdown("# AESOP\nUpscales pictures on the computer that serves this page, and sends them nowhere else.")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                uploads = gr.Files(label="Pictures", file_types=list(SUFFIXES), elem_id="uploads")
                model = gr.Dropdown(offered, value=preselected, label="Model", elem_id="model")
                dial = gr.Slider(
                    0, 1, 0, step=0.05, label="Fidelity", visible=has_dial(preselected), elem_id="dial",
                    info="0: texture. 1: faithful to the picture, smooth.",
                )  # fmt: skip
                scale = gr.Dropdown(
                    [OWN, "1.5", "2", "3", "4", "8"], value=OWN, label="Scale", allow_custom_value=True, elem_id="scale"
                )
                written = [key for key, each in FORMATS.items() if each.written]
                format = gr.Dropdown([AS_INPUT, *written], value=AS_INPUT, label="Format", elem_id="format")
                with gr.Row():
                    start = gr.Button("Upscale", variant="primary", elem_id="start")
                    stop = gr.Button("Cancel", elem_id="stop")
            with gr.Column(scale=3, min_width=280):
                status = gr.Textbox(label="Status", interactive=False, lines=1, max_lines=8, elem_id="status")
                results = gr.Files(label="Results", interactive=False, elem_id="results")
                slider = gr.ImageSlider(
                    label="Bicubic and result", type="pil", format="png", interactive=False, max_height=700,
                    buttons=["fullscreen"], elem_id="slider",
                )  # fmt: skip
                shown = gr.Dropdown([], label="Shown", visible=False, elem_id="shown")
        pairs = gr.State([])
        model.change(lambda name: gr.update(visible=has_dial(name)), model, dial)
        start.click(
            upscale,
            [uploads, model, scale, format, dial],
            [status, slider, shown, results, pairs],
            show_progress="hidden",
        )
        stop.click(cancel, queue=False)
        shown.change(show, [shown, pairs], slider)
        page.unload(forget)
    return page.queue(default_concurrency_limit=1)


def _shown(results: list[tuple[Path, Path]], name: str | None) -> Any:
    """What the slider shows of the picture `name`."""
    for source, result in results:
        if source.name == name:
            try:
                return preview(source, result)
            except (AesopError, OSError):  # it is in the folder all the same
                return None
    return None
