"""Any recipe with tiny networks, crops and batches, so that it trains within a moment."""

from __future__ import annotations

import functools
from typing import Any

from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe

#: Arguments of a DAT whose files spandrel reads unchanged.
DAT = {
    "depth": [2], "embed_dim": 32, "num_heads": [2], "expansion_factor": 2.0, "resi_connection": "3conv",
    "split_size": [2, 4], "upsampler": "pixelshuffledirect",
}  # fmt: skip
#: The smallest arguments of each generator, and of each discriminator.
GENERATORS: dict[str, dict[str, Any]] = {
    "rrdb": {"features": 4, "blocks": 1, "growth": 4},
    "swinir": {"features": 8, "groups": 1, "blocks": 2, "heads": 2, "window": 4},
    "drct": {"features": 8, "groups": 1, "heads": 2, "growth": 4, "window": 4},
    "srresnet": {"features": 16, "blocks": 1},
    "srvgg": {"features": 4, "convs": 1},
    "span": {"features": 4},
    "upconv": {"features": 4, "blocks": 1, "head": 4},
    "upconv-head": {"width": 4, "body.arguments": DAT},
    "spsr": {"features": 4, "blocks": 4, "growth": 4},
}
DISCRIMINATORS: dict[str, dict[str, int]] = {
    "vgg": {"features": 4},
    "unet": {"features": 4},
    "patchgan": {"features": 4, "layers": 2},
    "calgan": {"features": 4, "experts": 3},
}
#: Side of the HR crops: a multiple of every scale and, at LR size, of every window; DRCT has the largest one, 16.
CROP, LARGE_CROP = 48, 64


def crop_of(name: str) -> int:
    return LARGE_CROP if load_recipe(name).generator.type == "drct" else CROP


@functools.cache
def tiny(name: str) -> tuple[str, ...]:
    """Overrides that make the recipe `name` tiny; the caller sets the iterations."""
    recipe = load_recipe(name)
    crop = crop_of(name)
    sizes: dict[str, dict[str, Any]] = {"generator": GENERATORS[recipe.generator.type]}
    overrides = ["data.held_out=1", "data.workers=0", "data.shrink=1"]
    if recipe.fidelity.body_weights is not None:
        overrides += ["fidelity.body_weights=null"]
    # Networks in the box are too large: train tiny ones instead.
    if recipe.fidelity.weights is not None:
        overrides += ["fidelity.weights=null"]
    if recipe.autoencoder is not None and recipe.autoencoder.weights is not None:
        overrides += ["autoencoder.weights=null"]
    for stage in recipe.stages():
        settings = {"crop": crop, "batch": 2, "log_every": 2, "validate_every": 4, "checkpoint_every": 2, "warmup": 0}
        overrides += [f"{stage}.{key}={value}" for key, value in settings.items()]
        overrides += [f"{stage}.cosine=false", f"{stage}.milestones=[]"]
    if recipe.autoencoder is not None:
        overrides += ["autoencoder.growth=4", "autoencoder.blocks=1"]
        if recipe.autoencoder.decoder is not None:
            sizes["autoencoder.decoder"] = GENERATORS[recipe.autoencoder.decoder.type]
    if recipe.perceptual is not None:
        sizes["perceptual.discriminator"] = DISCRIMINATORS[recipe.perceptual.discriminator.type]
        if recipe.perceptual.generator is not None:
            sizes["generator"] = sizes["perceptual.generator"] = GENERATORS[recipe.perceptual.generator.type]
            overrides += ["perceptual.gradient_loss.fusion_iterations=2"]
        # VGG19's weights are not available, and VGG19 would take most of the time.
        overrides += ["perceptual.perceptual_loss.features={type: efficientnet-lite0, blocks: {0: 0.02}}"]
    if recipe.degradation is not None:
        overrides += [f"degradation.source_crop={crop + 8}"]
        overrides += ["degradation.pool=3"] if recipe.degradation.pool else []
    return (*overrides, *(f"{place}.{key}={value}" for place in sizes for key, value in sizes[place].items()))


def tiny_recipe(name: str, *overrides: str) -> Recipe:
    return load_recipe(name, [*tiny(name), *overrides])
