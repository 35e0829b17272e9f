"""Is a ticket of labels that mean nothing more than sparsity? (Finding Winning Tickets,
Figure 4)

IMP finds tickets on the labels and on labels permuted over the images, which a network
can only memorize. Each is then trained with the labels, beside random pruning, random
pruning adjusted for weights that training makes zero anyway, and the unpruned network.
Accuracy against density: what permuted labels find is to stand beside random pruning.

The labels are permuted once for each replicate. Each task trains under a recipe of its
own, where the variant has one.
"""
