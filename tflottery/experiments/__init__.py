"""One module per experiment: `python -m tflottery.experiments.NAME`.

Such a module holds, and nothing else decides what the experiment is:

- a docstring that names the question and the figure; it opens `--help`;
- `Config`, a frozen dataclass that extends `config.Config`: its fields become flags.
  `Config.tiny()` is what tests run;
- frozen dataclasses for rows, and `TABLES`: by name of the table, of which it is made;
- `plan(study)`: the artifacts wanted;
- `rows(study, findings)`: the tables, a list of rows each;
- optionally `figure(tables, study)`: a matplotlib figure of the tables as DataFrames,
  of which the first has rows; None where they show nothing;
- optionally `subject(study)`: a few words more for the plan's title;
- optionally `members(config)`: the Configs of an experiment over several networks, each
  planned and read by itself into common tables;
- last, `if __name__ == "__main__": entry.run(__spec__.name)`.

What they share stands beside them: `config` (options), `study` (a Config resolved, and
its runs), `subnetworks`, `perturbed`, `pretrained` (which runs those are), `trained`
and `keys` (rows of accuracy.csv, columns), and what no experiment knows of: `entry`,
`session`, `output`.
"""
