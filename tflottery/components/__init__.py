"""Typed, cached steps: each declares its inputs, parameters, outputs and version."""
