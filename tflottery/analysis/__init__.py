"""What is computed from weights and errors: pure functions of arrays."""
