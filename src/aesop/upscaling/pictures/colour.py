"""Colours on the way into the network and back: profiles, and what lies hidden under transparency.

A picture is computed in the encoding that it is stored in wherever that shows greys about as sRGB does (sRGB itself,
Display P3, Adobe RGB, ProPhoto, grey gamma 2.2): converted to sRGB, it would lose all colours outside of sRGB. Others
(linear light, CMYK) are computed in sRGB.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from aesop.data.pictures import libvips

#: How far greys may be from sRGB's, in 8-bit levels: gamma 1.8 is 18 away, linear light 62.
_NEAR = 24
#: Reaches of the colours that spread under transparent pixels, in standard deviations of pixels: near, then far.
_REACHES = (1.5, 8.0)


@lru_cache(maxsize=16)
def shows_greys_as_srgb(profile: bytes, channels: int) -> bool | None:
    """Whether levels under this profile look about as sRGB's do; None where the profile cannot be used for them."""
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(channels, 2)
    try:
        seen = converted(named(libvips().Image.new_from_array(ramp)), profile, None).numpy().reshape(256, -1)
    except libvips().Error:
        return None
    return bool(np.abs(seen.astype(int) - np.arange(256)[:, None]).max() <= _NEAR)


def converted(colours: Any, profile: bytes | None, target: bytes | None, depth: int = 8) -> Any:
    """Convert a libvips image of 1, 3 or 4 bands without alpha between profiles (None: sRGB).

    Grey stays grey, but under a profile of four channels. Raises libvips' error where a profile cannot be used.
    """
    bands = colours.bands
    if profile is not None:
        colours = _with_profile(colours, profile).icc_import(embedded=True, pcs="lab", intent="relative")
    else:
        if bands == 1:  # libvips' sRGB profile is one of three channels
            colours = named(colours.bandjoin([colours, colours]))
        colours = colours.icc_import(input_profile="srgb", pcs="lab", intent="relative")
    if target is None:
        result = colours.icc_export(output_profile="srgb", intent="relative", depth=depth)
        return named(result[1]) if bands == 1 else result
    colours = _with_profile(colours, target)
    return colours.icc_export(intent="relative", depth=depth)


def fill_hidden(colours: Any, alpha: Any) -> Any:
    """Give fully transparent pixels the colours of the visible ones around them, so that no hidden ones bleed.

    Both are libvips images, of whole numbers or in [0, 1]. Near pixels count most; beyond some 20 pixels from all that
    is visible, colours are 0.
    """
    peak = {"uchar": 255, "ushort": 65535}.get(alpha.format, 1)
    weight = alpha.cast("float") / peak
    weighted = (colours.cast("float") * weight).bandjoin(weight)
    filled = colours.cast("float") * 0
    for reach in reversed(_REACHES):
        spread = weighted.gaussblur(reach, min_ampl=0.005, precision="float")
        amount = spread[colours.bands]
        filled = (amount > 1e-4).ifthenelse(spread[: colours.bands] / amount, filled)
    filled = filled + (0.5 if peak > 1 else 0)
    return (alpha == 0).ifthenelse(filled.cast(colours.format), colours)


def _with_profile(image: Any, profile: bytes) -> Any:
    image = image.copy()
    image.set_type(libvips().GValue.blob_type, "icc-profile-data", profile)
    return image


def named(image: Any) -> Any:
    """Name an image's bands what they are: libvips takes them for anything after a join."""
    deep = image.format == "ushort"
    if image.bands == 4:
        return image.copy(interpretation="cmyk")
    grey, colour = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    return image.copy(interpretation=grey if image.bands == 1 else colour)
