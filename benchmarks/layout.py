"""A convolution in contiguous and in channels-last memory: forward, gradient of the images, gradient of the weights.

    python benchmarks/layout.py

64 to 64 features, 3x3, on two images of 128 x 128 pixels, in turns. Prints milliseconds and ratios: median, minimum and
maximum. The gradient of the weights is also computed as nine matrix products, one for each place of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from measuring import clock, spread

TURNS = 9


def main() -> None:
    torch.manual_seed(0)
    works = {**works_in(torch.contiguous_format), **works_in(torch.channels_last)}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(TURNS + 1):
        for name, work in works.items():
            start = clock()
            work()
            if turn:
                taken[name].append(1000 * (clock() - start))
    for name, times in taken.items():
        what = name.partition(",")[0]
        rivals = [rival for rival in taken if rival.startswith(f"{what},") and rival != name]
        if name.endswith("contiguous"):
            print(f"{name:42} {spread(times, 1):>24} ms")
            continue
        ratios = (
            f"{spread([a / b for a, b in zip(taken[rival], times, strict=True)])} x as fast as {rival}"
            for rival in rivals
        )
        print(f"{name:42} {spread(times, 1):>24} ms  {'; '.join(ratios)}")


def works_in(form: torch.memory_format) -> dict[str, Callable[[], object]]:
    images, weights, gradient = (
        torch.randn(shape).contiguous(memory_format=form)
        for shape in ((2, 64, 128, 128), (64, 64, 3, 3), (2, 64, 128, 128))
    )

    def backward(index: int) -> Tensor:
        """Gradient of the images, 0, or of the weights, 1."""
        mask = [index == 0, index == 1, False]
        return torch.ops.aten.convolution_backward(
            gradient, images, weights, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask
        )[index]

    title = "channels-last" if form == torch.channels_last else "contiguous"
    works: dict[str, Callable[[], object]] = {
        f"forward, {title}": lambda: F.conv2d(images, weights, padding=1),
        f"gradient of the images, {title}": lambda: backward(0),
        f"gradient of the weights, {title}": lambda: backward(1),
    }
    if form == torch.channels_last:
        torch.testing.assert_close(nine_products(images, gradient), backward(1), rtol=1e-3, atol=1e-2)
        works["gradient of the weights, nine products"] = lambda: nine_products(images, gradient)
    return works


def nine_products(images: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of a 3x3 convolution's weights, (out, in, 3, 3), from channels-last images and output's gradient."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    rows = gradient.permute(0, 2, 3, 1).flatten(0, 2).T
    products = [
        rows @ padded[:, top : top + height, left : left + width].flatten(0, 2) for top in range(3) for left in range(3)
    ]
    return torch.stack(products, -1).unflatten(-1, (3, 3))


if __name__ == "__main__":
    main()
