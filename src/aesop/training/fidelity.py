"""Stage 1: the fidelity network, min |G(x) - y|_1: the average of all plausible images, sharp where it can be."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from aesop.data.bicubic import resize
from aesop.errors import RunError
from aesop.run import StageFolder
from aesop.training.fabric import Fabric
from aesop.training.recipe import FidelityConfig
from aesop.training.stage import Pairs, Sharpen, Stage, validation_psnr
from aesop.training.validation import best_of

#: A network whose PSNR ends so many decibels below its best has diverged: sound trainings vary by less than one.
FALL = 3.0


class FidelityStage(Stage[nn.Module]):
    """Train `generator` with the pixel loss alone; `sharpen` makes its target (Real-ESRNet)."""

    name = "fidelity"

    def __init__(
        self,
        generator: nn.Module,
        config: FidelityConfig | None = None,
        *,
        sharpen: Sharpen | None = None,
        fabric: Fabric | None = None,
    ) -> None:
        super().__init__(generator, config or FidelityConfig(), fabric)
        self.sharpen = sharpen

    def gradients(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Leave the gradients of a batch."""
        target = hr if self.sharpen is None else self.sharpen(hr)
        loss = F.l1_loss(self.trained(lr), target)
        self.fabric.backward(loss)
        return {"pixel": loss.detach()}


def shortfall(psnr: float, pairs: Pairs) -> str | None:
    """Say that a network of this PSNR is worse than bicubic upscaling, where it is: nothing should build on it."""
    scale = pairs[0][1].shape[-1] // pairs[0][0].shape[-1]
    bicubic = validation_psnr(lambda lr: resize(lr, scale), [(lr.cpu(), hr.cpu()) for lr, hr in pairs])
    if psnr >= bicubic:
        return None
    return (
        f"worse than bicubic upscaling ({bicubic:.2f} dB), so it has diverged, or has just begun: train it longer, or "
        "into a new run folder with a lower fidelity.learning_rate, before other stages build on it"
    )


def require_sound(files: StageFolder, builder: str) -> None:
    """Raise RunError where the finished network has diverged, by its log, before the stage `builder` builds on it."""
    log = files.read_log()
    best, last = best_of(log, "psnr"), next((line for line in reversed(log) if "psnr" in line), None)
    if best is None or last is None or best["psnr"] - last["psnr"] <= FALL:
        return
    snapshot = files.snapshot(best["iteration"])
    choices = {"the best": snapshot, "this one": files.network}
    kept = " or ".join(f"fidelity.weights={path} ({which})" for which, path in choices.items() if path.is_file())
    raise RunError(
        f"fidelity: has diverged, from {best['psnr']:.2f} dB at iteration {best['iteration']} to {last['psnr']:.2f} dB "
        f"at the end, and {builder} would build on it; go on in a new run folder (--run) with a lower "
        f"fidelity.learning_rate, or with a network of this run: {kept}."
    )
