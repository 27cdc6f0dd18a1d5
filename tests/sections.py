"""Optional sections of recipes, for tests that know that they are present."""

from __future__ import annotations

from aesop.training.recipe import PerceptualConfig, Recipe


def perceptual_of(recipe: Recipe) -> PerceptualConfig:
    assert recipe.perceptual is not None
    return recipe.perceptual
