"""The tables that tests of claims make stand in made_tables.py, for them to import."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
