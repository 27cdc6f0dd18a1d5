"""Generators, discriminators and frozen features, and their files."""
