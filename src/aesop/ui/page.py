"""The page of `aesop ui`: pictures in, a slider between before and after, results to download."""

# Gradio evaluates annotations, so that they are not put off here.
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Default

from aesop.box import resolved
from aesop.errors import AesopError
from aesop.networks.interpolate import ends_of_dial
from aesop.ui.work import CANCELLED, Work, preview
from aesop.upscaling.pictures.formats import FORMATS, SUFFIXES

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
    nothing = (gr.skip(),) * 4

    def work_of(request: gr.Request) -> Work | None:
        return at_work.get(str(request.session_hash))

    def enter(
        uploads: list[str] | None, model: str, scale: str, format: str, fidelity: float, request: gr.Request
    ) -> tuple[Any, ...]:
        """Make the session's work, which then waits for its turn."""
        work = work_of(request)
        if work is not None and not (work.over or work.stop.is_set()):
            raise gr.Error("Your pictures are still at work: wait for them, or cancel.", print_exception=False)
        if not uploads or len(uploads) > MOST:
            return ("Choose a picture first." if not uploads else f"At most {MOST} pictures at once.", *nothing)
        try:
            settings = {
                "model": model,
                "scale": None if scale == OWN else float(scale),
                "format": None if format == AS_INPUT else format,
                "fidelity": fidelity if has_dial(model) else None,
                "device": device,
            }
        except ValueError:
            return (f"Scale: a number is expected, not {scale}.", *nothing)
        forget(request)
        at_work[str(request.session_hash)] = Work.of(uploads, Path(folder), **settings)
        return ("Waiting for its turn.", None, gr.update(choices=[], value=None, visible=False), None, [])

    def run(request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Do the session's work, unless an earlier turn did or does."""
        work = work_of(request)
        if work is None or not work.waits:
            yield (gr.skip(), *nothing)  # without any, what is shown would go
            return
        for part, name in work.run():
            # Once it is cancelled, the session may have entered other work, which says how that is.
            yield (f"{part:.0%} {name}" if work is work_of(request) else gr.skip(), *nothing)
        if work is not work_of(request):
            return
        results = work.results
        names = [source.name for source, _ in results]
        yield (
            work.told(),
            gr.update(value=_shown(results, names[0]) if names else None),
            gr.update(choices=names, value=names[0] if names else None, visible=len(names) > 1),
            [str(result) for _, result in results] or None,
            [(str(source), str(result)) for source, result in results],
        )

    def cancel(request: gr.Request) -> Any:
        work = work_of(request)
        if work is None or work.over:
            return gr.skip()
        work.stop.set()
        return CANCELLED if work.waits else gr.skip()

    def show(name: str | None, results: list[tuple[str, str]]) -> Any:
        return _shown([(Path(source), Path(result)) for source, result in results], name)

    def forget(request: gr.Request) -> None:
        if (work := at_work.pop(str(request.session_hash), None)) is not None:
            threading.Thread(target=work.drop, daemon=True).start()

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
        told = [status, slider, shown, results, pairs]
        settings = [uploads, model, scale, format, dial]
        entered = start.click(enter, settings, told, show_progress="hidden", concurrency_limit=None)  # at once
        # Several turns of one session may wait: the first one takes what was entered last.
        entered.success(run, None, told, show_progress="hidden", trigger_mode="multiple")
        stop.click(cancel, None, status, show_progress="hidden", queue=False)
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
