"""One module per experiment: `python -m tflottery.experiments.NAME`.

Such a module holds, and nothing else decides what the experiment is:

- a docstring that names the question and the figure; it opens `--help`;
- `Config`, a frozen dataclass that extends `studies.config.Config`: its fields become
  flags. `Config.tiny()` is what tests run;
- frozen dataclasses for rows, and `TABLES`: by name of the table, of which it is made;
- `plan(study)`: the artifacts wanted;
- `rows(study, results)`: the tables, a list of rows each, of what is read with
  `results.read(artifact, function of its folder)`. That is None where a training
  diverged, and, in tables of what is known before the end, where nothing is yet: a
  column that compares with all others stays None until all are known;
- optionally `figure(tables)`: a matplotlib figure of the tables as DataFrames, of which
  the first has rows; None where they show nothing. Rows may be of several commands
  (`reports.figure`), with the columns of `figures.facts` where those are known;
- optionally `answer(tables)`: a `studies.answers.Answer` of the same DataFrames, which
  may lack rows: the small table that the command ends with on the terminal. Without it
  that is accuracy against density, of the first table that has such columns, or else
  rows of the first table;
- optionally `subject(study)`: a few words more for the plan's title;
- optionally `members(config)`: the Configs of an experiment over several networks, each
  planned and read by itself into common tables;
- last, `if __name__ == "__main__": program.run(__spec__.name)`.

What they share stands in `tflottery.studies`.
"""

import sys

from tflottery.core import stopping

if sys.argv[:1] == ["-m"]:
    # `python -m tflottery.experiments.NAME` imports this package first, then all that
    # an experiment needs, which takes most of a second. A signal would be told with the
    # traceback of an import. The name of the program is "-m" only until then, so that
    # neither workers nor programs that use the package come here.
    stopping.handle(stopping.exit_at_once)
