"""Tickets and instability of a user's own model, data, optimizer and loss.

`find_ticket` and `measure_instability` are called from a script or a notebook, and
plan, store and resume as the commands do. They work in the process that calls them, one
training after another, so that a function may stand in a cell; or by workers, which
import it by its name. The commands are faster, measure more, and know pretexts and
subnetworks of many kinds; for those register a model (docs/extending.md).
"""
