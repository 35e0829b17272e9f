"""An artifact that is gone costs its row, and nothing is said."""

from tflottery.execution.results_reader import ResultsReader


def read_if_there(self, artifact, read):
    if not self._store.has(artifact.address, artifact.files):
        return None
    return read(self._store.open(artifact.address))


ResultsReader.read = read_if_there
