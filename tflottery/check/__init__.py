"""Contracts of what is registered, as checks that a user's module can be put to.

    python -m tflottery.check my_module

One file a kind. Each holds `CHECKS`, functions of a registered name (of an experiment:
of its module's name) that say in their names what they check. A check returns a few
words for its line, or None, and raises `contract.ContractError` where the contract does
not hold. The package's own tests call the same functions.
"""
