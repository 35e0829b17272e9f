"""Claims and contact sheets, read off the CSVs of experiments."""
