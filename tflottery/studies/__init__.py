"""What experiments share, and what no experiment knows of.

`config` (options), `study` (a Config resolved, and its runs), `subnetworks`,
`perturbed_runs`, `pretraining_runs` (which runs those are), `accuracy_table` and
`columns` (rows of accuracy.csv, what tells rows apart); and the program behind every
command: `program` (flags), `session` (from options to results), `output` (the folder).
"""
