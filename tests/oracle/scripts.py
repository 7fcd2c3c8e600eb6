#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scripts from seeds: the same seed gives the same script on every machine.

    scripts.py SEED        prints it
"""
import sys

STEPS = 100
EXPIRED_TICKS = 256  # twice the election timeout of both programs
# Nobody's timeout and no lease may end by small ticks alone (README.md), so clusters come to rest
# after at most this many steps.
STEPS_TO_REST = 25

STEP_WEIGHTS = (
    ("campaign", 8),
    ("exchange", 24),
    ("exchange part", 14),
    ("elections", 15),
    ("propose", 18),
    ("tick", 3),
    ("expire", 3),
    ("drop", 5),
    ("cut", 4),
    ("isolate", 2),
    ("heal", 3),
    ("restart", 4),
    ("transfer", 4),
)
NODE_WEIGHTS = ((1, 1), (2, 4), (3, 45), (4, 10), (5, 35), (7, 5))


class Dice:
    """splitmix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) * bound) >> 64

    def weighted(self, pairs):
        at = self.below(sum(weight for _, weight in pairs))
        for value, weight in pairs:
            if at < weight:
                return value
            at -= weight
        raise AssertionError("no weights")


class Script:
    def __init__(self, seed):
        self.dice = Dice(seed)
        self.nodes = self.dice.weighted(NODE_WEIGHTS)
        self.entry_messages = self.dice.below(2)
        self.center = 1  # the node that most steps are about, as long as it stays
        self.proposals = 0
        self.to_rest = 0
        self.lines = ["script %d" % seed, "nodes %d %d" % (self.nodes, self.entry_messages)]

    def node(self):
        return 1 + self.dice.below(self.nodes)

    def mostly_center(self):
        return self.center if self.dice.below(4) > 0 else self.node()

    def pair(self):
        a = self.mostly_center()
        b = 1 + (a + self.dice.below(self.nodes - 1)) % self.nodes
        return (a, b) if self.dice.below(2) == 0 else (b, a)

    def step(self):
        if self.dice.below(12) == 0:
            self.center = self.node()
        kind = self.dice.weighted(STEP_WEIGHTS)
        if self.nodes == 1 and kind not in ("campaign", "propose", "restart", "tick"):
            kind = "propose"
        if kind == "campaign":
            if self.dice.below(3) > 0:
                self.lines.append("tick 0 %d" % EXPIRED_TICKS)
            return "campaign %d" % self.mostly_center()
        if kind == "exchange":
            return "deliver %d-%d" % self.pair()
        if kind == "exchange part":
            part = "deliver %d-%d" % self.pair()
            # How many entries one message takes would be a difference of its own.
            return part + " %d" % (1 + self.dice.below(4)) if self.entry_messages else part
        if kind == "elections":
            return "deliver %d>%d" % self.pair()
        if kind == "propose":
            self.proposals += 1
            at = 0 if self.dice.below(4) > 0 else self.mostly_center()
            return "propose %d %d" % (at, self.proposals)
        if kind == "tick":
            return "tick %d %d" % (self.mostly_center(), 1 + self.dice.below(2))
        if kind == "expire":
            return "tick %d %d" % (self.node(), EXPIRED_TICKS)
        if kind == "drop":
            return "drop %d%s%d" % self.link()
        if kind == "cut":
            return "cut %d%s%d" % self.link()
        if kind == "transfer":
            return "transfer %d %d" % self.pair()
        if kind in ("isolate", "restart"):
            return "%s %d" % (kind, self.mostly_center())
        return kind

    def link(self):
        a, b = self.pair()
        return (a, "-" if self.dice.below(3) == 0 else ">", b)

    def make(self):
        for step in range(STEPS):
            if self.to_rest == 0 and step > 0 or step == STEPS - 1:
                self.lines.append("stabilize")
            else:
                self.lines.append(self.step())
            if self.lines[-1].startswith(("deliver", "campaign", "restart")):
                self.lines.append("status")
            if self.to_rest == 0:
                self.to_rest = STEPS_TO_REST - self.dice.below(12)
            self.to_rest -= 1
        return "\n".join(self.lines) + "\n"


def script(seed):
    return Script(seed).make()


if __name__ == "__main__":
    sys.stdout.write(script(int(sys.argv[1])))
