"""The store: artifacts by address, their manifests, locks and damage. No TensorFlow."""
