"""What the papers claim, as functions of tables: one file a paper.

Found by `core.registry.CLAIMS`; `python -m tflottery.reports.claims` asks them all. A
claim is a function of the rows of one setting (network, recipe, data set, length,
`config`) of one table, which returns what it is about, a number a replicate, and
declares

- says: the claim in words, and source: the figure and section of the paper;
- effect and unit: what the numbers are;
- claimed: the range in which the paper has their mean (`judging.ClaimedRange`);
- table: whose rows it reads (`reports.claims` says which there are);
- networks: those it is about in the paper (`judging.PaperNetwork`);
- command: the experiment that measures it, with the flags that matter;
- reported: the paper's value, where it gives one;
- particular: True of what is so in these networks alone, such as an accuracy. Other
  claims are asked of networks too that the paper does not have.

It holds where the whole confidence interval of the mean lies in the range, fails where
none of it does, and is undecided otherwise. Differences are paired: taken within a
replicate, whose networks share initialization and data orders, then averaged. Where
rows are missing the function raises `selecting.Lacking`.
"""
