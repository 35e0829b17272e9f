"""What all else passes through: names, recipes, seeds, keys, tables. No TensorFlow."""
