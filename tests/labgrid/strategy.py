# SPDX-License-Identifier: MIT OR Apache-2.0
"""A labgrid strategy for a board that has a system of Bulkhead's: off, running, ended."""

import enum
import re

import attr
from labgrid import target_factory
from labgrid.strategy import Strategy, StrategyError, never_retry

# EL2's lines: a refusal or the start, and the last one with the state of each partition.
STARTED = rb"bulkhead: (refused: [^\r\n]*|machine matches plan[^\r\n]*)\r?\n"
END = rb"bulkhead: end [0-9a-f]{16} ([^\r\n]*)\r?\n"


class Status(enum.Enum):
    """How far the board has come."""

    unknown = 0
    off = 1
    running = 2
    ended = 3


@target_factory.reg_driver
@attr.s(eq=False)
class BulkheadStrategy(Strategy):
    """Switches a board on, and waits for EL2's lines."""

    bindings = {"power": "PowerProtocol", "console": "ConsoleProtocol"}

    status = attr.ib(default=Status.unknown)
    #: Seconds until the partitions start, firmware's own time included.
    boot_limit = attr.ib(default=120, validator=attr.validators.instance_of(int))
    #: Seconds until the last partition has stopped.
    limit = attr.ib(default=120, validator=attr.validators.instance_of(int))
    #: The state of each partition, once the system has ended.
    ends = attr.ib(factory=dict, init=False)

    @never_retry
    def transition(self, status):
        """Brings the board to a status."""
        if not isinstance(status, Status):
            status = Status[status]
        if status == self.status:
            return
        if status == Status.off:
            self.target.activate(self.power)
            self.power.off()
            self.target.deactivate(self.console)
        elif status == Status.running:
            self.transition(Status.off)
            # The console first: it must not miss the first line.
            self.target.activate(self.console)
            self.power.on()
            said = self._expect(STARTED, self.boot_limit)
            if said.startswith("refused: "):
                raise StrategyError(f"EL2 refused the machine: {said}")
        elif status == Status.ended:
            if self.status != Status.running:
                self.transition(Status.running)
            words = self._expect(END, self.limit).split()
            self.ends = dict(word.split("=", 1) for word in words)
        else:
            raise StrategyError(f"cannot go from {self.status} to {status}")
        self.status = status

    def _expect(self, pattern, limit):
        _, _, match, _ = self.console.expect(re.compile(pattern), timeout=limit)
        return match.group(1).decode()
