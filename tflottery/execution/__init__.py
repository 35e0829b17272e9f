"""How plans are carried out: the store of artifacts, its locks, the executors."""
