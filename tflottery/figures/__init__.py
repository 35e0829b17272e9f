"""The papers' figures, drawn from the tables of results."""
