"""Sections of recipes that may be absent, for tests that know they are there."""

from __future__ import annotations

from aesop.training.recipe import PerceptualConfig, Recipe


def perceptual_of(recipe: Recipe) -> PerceptualConfig:
    assert recipe.perceptual is not None
    return recipe.perceptual
