"""Models: one file per family; `core.registry.MODELS` knows them by name.

The files import Keras only when a network is built, so that recipes are read fast.
"""
