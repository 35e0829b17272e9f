"""Commands of a list, each resolved to its studies, goals and output folder."""

import contextlib
import dataclasses
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence

from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.core.amounts import counted
from tflottery.core.recipes import Setting
from tflottery.execution.log import Log
from tflottery.execution.questions import WorkerFailed
from tflottery.execution.unobtainable import Unobtainable
from tflottery.plan.commands import Command
from tflottery.store.store import Store
from tflottery.studies import endings, session
from tflottery.studies.machine import Machine
from tflottery.studies.output import LOG_FILE, Output, OutputError
from tflottery.studies.study import Study, study_of
from tflottery.studies.tabulation import Loss, Tabulation
from tflottery.studies.tensorboard import Board
from tflottery.training import distribution
from tflottery.training.distribution import Placement

# What a command of a list may say of the machine for itself.
_OF_EACH = ("output_dir", "plugins", "threads")


@dataclasses.dataclass(eq=False)
class PreparedCommand:
    """A command of a list, once it is known what it asks for.

    Attributes:
      command: as it is in the list.
      studies: of its Config.
      goals: the artifacts that its tables are read from.
      output: where they go.
      log: what concerns this command alone, on the terminal and in its own log.txt.
      tabulation: makes its tables, once it has begun.
      is_finished: whether they are whole and written, with their figure.
      failure: why they cannot be made or drawn, where code of its own fails.
    """

    command: Command
    studies: Sequence[Study]
    goals: Sequence[Artifact]
    output: Output
    log: Log
    tabulation: Tabulation | None = None
    is_finished: bool = False
    failure: str = ""

    def __post_init__(self) -> None:
        self._at_work = contextlib.ExitStack()
        # Goals that were there when somebody looked last are not looked for again.
        self._num_settled = 0

    @property
    def names(self) -> list[str]:
        """Names of the experiment and its studies, unlike those of others."""
        return [self.command.module.__name__, *(one.name for one in self.studies)]

    @property
    def title(self) -> str:
        """Lines on its studies."""
        module = self.command.module
        return "\n".join(session.title(module, study) for study in self.studies)

    def begin(self, store: Store, *, told: str, board: Board) -> None:
        """Makes the output folder this command's, and has its log written there.

        Args:
          store: that its tables are read from.
          told: the command line that it is carried out by.
          board: shows what the tables of all commands say.

        Raises:
          OutputError: another command came first, or it cannot be written.
        """
        self.output.claim()
        self._at_work.enter_context(self.output.at_work())
        _, _, options = self.command.text.partition(" ")
        alone = f"python -m {self.command.module.__name__} {options}"
        self.log.keep(
            f"{told}\nwhich carries out several commands, this one among them:\n{alone}"
        )
        self.log.keep(self.title)
        self.log.keep_in(self.output.folder / LOG_FILE)
        self.tabulation = Tabulation(
            self.command.module,
            self.studies,
            goals=self.goals,
            store=store,
            output=self.output,
            log=self.log,
            board=board,
        )

    def is_settled(self, is_settled: Callable[[str], bool]) -> bool:
        """Returns whether all its goals are made, or known never to be made.

        Args:
          is_settled: whether that is so of the goal at an address.
        """
        while self._num_settled < len(self.goals):
            if not is_settled(self.goals[self._num_settled].address):
                return False
            self._num_settled += 1
        return True

    def say_which(self) -> None:
        """Says on the terminal which command it is that tells something."""
        self.log.console.print(
            f"\n{self.command.text}", markup=False, highlight=False, soft_wrap=True
        )

    def show_if_whole(self) -> None:
        """Tells and draws the tables that were written last, if they are whole."""
        written = self.tabulation.written
        if written is None or not written.is_complete:
            return
        # What is wrong with the folder the end tells.
        with contextlib.suppress(OutputError), self.failing_alone():
            told = f"Results are in {self.output.folder}"
            self.say_which()
            endings.show(self.output, self.log, told=told, drawn=True)
            self.is_finished = True

    def collect(self, unobtainable: Unobtainable) -> Sequence[Loss]:
        """Makes its tables as `Tabulation.collect` does; none where that fails."""
        with self.failing_alone():
            return self.tabulation.collect(unobtainable)
        return ()

    @contextlib.contextmanager
    def failing_alone(self) -> Iterator[None]:
        """Has a block that makes its results fail by itself, told once, and no others.

        Raises:
          OutputError: the block does.
        """
        try:
            yield
        except OutputError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            # The end tries again what failed beside the work.
            if reason != self.failure:
                self.failure = reason
                place = self.output.folder / LOG_FILE
                self.log.say(f"error: {self.command.text}: {reason} (see {place})")
                self.log.keep(traceback.format_exc())

    def lacks(self) -> str:
        """Returns what its tables lack in the end, in words; "" if nothing."""
        written = self.tabulation.written
        if self.failure and not self.is_finished:
            return self.failure
        if written is None:
            return "no tables were written"
        if not written.is_complete:
            return f"of {written.wanted:,} artifacts {written.made:,} are there"
        if written.diverged:
            return f"{counted(written.diverged, 'artifact')} diverged"
        return "" if self.is_finished else "its tables were not written"

    def end(self) -> None:
        """Lets others see that nobody is at work for it any more."""
        self._at_work.close()


def machine_of(
    asked: Sequence[Command], machine: Machine, *, said: Collection[str]
) -> Machine:
    """Returns where and how all commands of a list are carried out.

    With the plugins of all of them, and the threads that they agree on.

    Args:
      asked: the commands.
      machine: what is said for all of them.
      said: names of those options that are given there, be it at their defaults.

    Raises:
      ValueError: one of them says for itself what holds for all.
    """
    for one in asked:
        of_all = one.said.difference(_OF_EACH)
        if of_all:
            raise ValueError(
                f"{one.text!r}: --{min(of_all)} holds for all commands of a list. "
                "Take it out there, and say it once, beside --execute."
            )
    if machine.distribute == distribution.MULTI_WORKER:
        raise ValueError(
            "--distribute='multi_worker' is for one command, which each host runs. "
            "Leave it out with --execute."
        )
    # A line that says none has those that are said for all.
    threads = {
        (one.machine if "threads" in one.said else machine).threads for one in asked
    }
    threads |= {machine.threads} if "threads" in said else set()
    if len(threads) > 1:
        raise ValueError(
            f"--threads={','.join(map(str, sorted(threads)))}: "
            "workers of one number of threads carry out a list. Make a list for each."
        )
    plugins = [*machine.plugins, *(name for one in asked for name in one.plugins)]
    return dataclasses.replace(
        machine, threads=threads.pop(), plugins=tuple(dict.fromkeys(plugins))
    )


def prepared_commands(
    asked: Sequence[Command],
    facts_of: Callable[[str, Setting], Facts],
    placement: Placement,
    *,
    parent: str | None,
    log: Log,
) -> tuple[list[PreparedCommand], dict[str, str]]:
    """Returns commands with what they ask for, and why others are refused.

    Of commands that ask for the same in one folder there is one.

    Args:
      asked: the commands.
      facts_of: returns the facts of a network in a setting.
      placement: where it is trained.
      parent: the folder of the output folders; None: results.
      log: whose terminal they share.

    Raises:
      ValueError: two commands name one folder, and ask for different things.
    """
    found: dict[str, PreparedCommand] = {}
    refused: dict[str, str] = {}
    for one in asked:
        try:
            studies = [study_of(each, facts_of, placement) for each in one.configs]
            folder = one.machine.output_dir
            output = Output(one.module, *studies, folder=folder, parent=parent)
            goals = one.goals(studies)
        except (ValueError, WorkerFailed) as error:
            refused[one.text] = str(error)
            continue
        made = PreparedCommand(one, studies, goals, output, Log(log.console))
        other = found.setdefault(str(output.folder), made)
        if other.names != made.names:
            raise ValueError(
                f"{one.text!r} and {other.command.text!r} have one output folder, "
                f"{str(output.folder)!r}. Give each its own."
            )
    return list(found.values()), refused
