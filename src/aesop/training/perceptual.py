"""Stage 3: the perceptual network, a generative adversarial network with a fidelity loss.

    AESOP      min  w_fid * L_AESOP(G(x), y)   + w_percep * L_percep + w_art * L_art + w_adv * L_adv      (eq. 9)
    baselines  min  w_fid * |G(x) - y|_1       + w_percep * L_percep + w_art * L_art + w_adv * L_adv      (eq. 3)

Only the fidelity term differs. SPSR adds terms of its own (`spsr.py`), and short trainings may add the grid loss.

No work is done twice. Every loss sees G(x) as a leaf: its graph is freed as soon as its gradient has joined the
others there, and one pass carries the sum on into G. D looks at y and G(x) once an iteration; both networks' losses use
the same two logits, each with the gradient that it would have alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.term import Batch, Term
from aesop.training.adversary import Adversary
from aesop.training.fabric import Fabric
from aesop.training.recipe import PerceptualConfig
from aesop.training.stage import Sharpen, Stage, place

#: A discriminator whose loss stays below this in so many log lines in a row has won: its game is over.
COLLAPSED, COLLAPSED_LINES = 0.02, 10


class PerceptualStage(Stage[nn.Module]):
    """Train `generator`, which starts as the fidelity network, against `discriminator`.

    `losses` are those of `config.build_losses`, or others of the same names; what `config` weighs at 0 is not run and
    may be missing. `sharpen` makes the target of every loss but the adversarial one (Real-ESRGAN).
    """

    name = "perceptual"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module | None,
        losses: Mapping[str, Callable[..., Tensor]],
        config: PerceptualConfig,
        *,
        sharpen: Sharpen | None = None,
        fabric: Fabric | None = None,
    ) -> None:
        super().__init__(generator, config, fabric, self._parameters(generator, config))
        weighed = {name: section for name, section in config.losses().items() if section.weight}
        if missing := [name for name in weighed if name not in losses]:
            raise ValueError(f"a loss of a weight that is not 0 must be given: {', '.join(missing)}")
        self.sharpen = sharpen
        self.losses = {name: place(losses[name], self.fabric) for name in weighed}
        self.adversaries: dict[str, Adversary] = {}
        w_adv = config.adversarial_loss.weight
        self._add_adversary("", discriminator, w_adv, config)
        # The sum of eq. 9, or of eq. 3, in its order.
        self.terms = [
            *(section.term(name, self.losses[name]) for name, section in weighed.items()),
            Term("adversarial", w_adv, lambda sr, y: self.adversaries[""].loss(sr, y.hr), keeps_graph=True),
        ]

    def gradients(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Leave the gradients of a batch in all networks."""
        batch = Batch(lr, hr, hr if self.sharpen is None else self.sharpen(hr), self.result)
        output = self._upscale(lr)
        sr = output.detach().requires_grad_()
        # For the comparison of both losses' scales (figure 9), at the cost of one pass over the pixels.
        losses = {"pixel": F.l1_loss(sr.detach(), batch.target)}
        for term in self.terms:
            if term.weight:
                losses[term.name] = self._add_gradient(term, sr, batch)
        losses |= self._carry_on(output, sr.grad, batch)
        for prefix, adversary in self.adversaries.items():
            losses |= {f"{prefix}{name}": value for name, value in adversary.backward().items()}
        return losses

    def warning(self, log: list[dict[str, Any]]) -> str | None:
        """Say once that a discriminator's loss has been next to nothing for long."""
        told = any(line["kind"] == "warning" for line in log)
        lines = [line for line in log if line["kind"] == "loss"][-COLLAPSED_LINES:]
        for name in (f"{prefix}discriminator" for prefix in self.adversaries):
            if not told and len(lines) == COLLAPSED_LINES and all(line.get(name, 1) < COLLAPSED for line in lines):
                return (
                    f"the {name}'s loss has been below {COLLAPSED} since iteration {lines[0]['iteration']}: it tells "
                    "SR from HR without effort, and the generator learns little from it; consider a weaker "
                    "perceptual.discriminator or a lower perceptual.learning_rate"
                )
        return None

    def _add_gradient(self, term: Term, sr: Tensor, batch: Batch) -> Tensor:
        """Add the gradient of a weighted term to that of `sr`, free the graph, return the plain loss."""
        with self.fabric.autocast():
            loss = term.loss(sr, batch)
        self.fabric.backward(term.weight * loss, inputs=[sr], retain_graph=term.keeps_graph)
        return loss.detach()

    def _add_adversary(
        self, prefix: str, discriminator: nn.Module | None, weight: float, config: PerceptualConfig
    ) -> None:
        if not weight:
            return
        if discriminator is None:
            raise ValueError("an adversarial loss's weight is not 0, so its discriminator must be given")
        adversary = Adversary(self.fabric, discriminator, config.adversarial_loss, config)
        self.adversaries[prefix] = adversary
        self.optimizers.append(adversary.optimizer)
        self.parts |= {f"{prefix}discriminator": adversary.network, f"{prefix}optimizer_d": adversary.optimizer}

    # What SPSR does otherwise.

    def _parameters(self, generator: nn.Module, config: PerceptualConfig) -> list[Any]:  # noqa: ARG002
        """Return the optimizer's groups of the generator's parameters."""
        return [{"params": list(generator.parameters())}]

    def _upscale(self, lr: Tensor) -> Tensor:
        return self.trained(lr)

    def _carry_on(self, output: Tensor, gradient: Tensor | None, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        """Carry the terms' gradient on into G; return losses of what G makes beside SR."""
        self.fabric.backward(output, gradient=gradient)
        return {}
