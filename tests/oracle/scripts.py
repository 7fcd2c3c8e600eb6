#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scripts from seeds: the same seed gives the same script on every machine.

    scripts.py SEED        prints it
"""
import sys

STEPS = 100
EXPIRED_TICKS = 256  # twice the election timeout of both programs
# Nobody's timeout and no lease may end by small ticks alone (README.md), so clusters come to rest
# after about this many steps.
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
    ("repeat", 3),
    ("cut", 4),
    ("isolate", 2),
    ("heal", 3),
    ("restart", 4),
    ("transfer", 4),
    ("succession", 2),
    ("failed transfer", 1),
)
# Of every so many seeds one has changes of the members; the weight of a change among its steps.
CHANGES_EVERY = 4
CHANGES = ("add", "promote", "remove")
CHANGE_WEIGHT = 10
CHANGE_STEPS = 8  # as many as its exchanges would be
# How many members there are at first, and how many nodes wait.
MEMBER_WEIGHTS = (((3, 1), 2), ((3, 2), 4), ((3, 3), 2), ((4, 1), 2), ((4, 2), 2), ((5, 2), 4))
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
        self.changes = seed % CHANGES_EVERY == 0
        if self.changes:
            members, waiting = self.dice.weighted(MEMBER_WEIGHTS)
            self.nodes = members + waiting
        else:
            self.nodes = self.dice.weighted(NODE_WEIGHTS)
        self.entry_messages = self.dice.below(2)
        slow_disks = self.dice.below(2)
        self.weights = STEP_WEIGHTS
        self.center = 1  # the node that most steps are about, as long as it stays
        self.proposals = 0
        self.lines = ["script %d" % seed,
                      "nodes %d %d %d" % (self.nodes, self.entry_messages, slow_disks)]
        if self.changes:
            self.lines[1] += " %d" % members
            self.weights = STEP_WEIGHTS + (("change", CHANGE_WEIGHT),)
            # What is probably possible with each node next.
            self.next_change = dict((node, "remove" if node <= members else "add")
                                    for node in range(1, self.nodes + 1))

    def node(self):
        return 1 + self.dice.below(self.nodes)

    def mostly_center(self):
        return self.center if self.dice.below(4) > 0 else self.node()

    def pair(self):
        a = self.mostly_center()
        b = 1 + (a + self.dice.below(self.nodes - 1)) % self.nodes
        return (a, b) if self.dice.below(2) == 0 else (b, a)

    def steps(self):
        """One step; or a few that would hardly ever come together by chance."""
        if self.dice.below(12) == 0:
            self.center = self.node()
        kind = self.dice.weighted(self.weights)
        if self.nodes == 1 and kind not in ("campaign", "restart", "tick"):
            kind = "propose"
        if kind == "succession":
            return self.succession()
        if kind == "failed transfer":
            return self.failed_transfer()
        if kind == "change":
            return self.change() if self.dice.below(8) > 0 else self.early_change()
        if kind == "campaign" and self.dice.below(3) > 0:
            return ["tick 0 %d" % EXPIRED_TICKS, self.step(kind)]
        return [self.step(kind)]

    def step(self, kind):
        if kind in ("campaign", "isolate", "restart"):
            return "%s %d" % (kind, self.mostly_center())
        if kind == "exchange":
            return "deliver %d-%d" % self.pair()
        if kind == "exchange part":
            return "deliver %d-%d" % self.pair() + self.part()
        if kind == "elections":
            return "deliver %d>%d" % self.pair()
        if kind == "propose":
            return self.propose(0 if self.dice.below(4) > 0 else self.mostly_center())
        if kind == "tick":
            return "tick %d %d" % (self.mostly_center(), 1 + self.dice.below(2))
        if kind == "expire":
            return "tick %d %d" % (self.node(), EXPIRED_TICKS)
        if kind in ("drop", "repeat", "cut"):
            a, b = self.pair()
            return "%s %d%s%d" % (kind, a, "-" if self.dice.below(3) == 0 else ">", b)
        if kind == "transfer":
            return "transfer %d %d" % self.pair()
        assert kind == "heal"
        return kind

    def propose(self, node):
        self.proposals += 1
        return "propose %d %d" % (node, self.proposals)

    def part(self):
        """How many entries pass; how many one message takes would be a difference of its own."""
        return " %d" % (1 + self.dice.below(4)) if self.entry_messages else ""

    def succession(self):
        """A node leads again, with entries of its earlier term that nobody else has."""
        a, b = self.pair()
        return ["heal", "deliver %d-%d" % (a, b)] + [
            self.propose(a) for _ in range(1 + self.dice.below(3))] + [
                "restart %d" % a, "tick 0 %d" % EXPIRED_TICKS, "campaign %d" % a,
                "deliver %d-%d" % self.pair(), "deliver %d-%d" % (a, b) + self.part()]

    def failed_transfer(self):
        """A leader gives up a transfer after an election timeout in which all others answer."""
        leader, target = self.pair()
        all_hear = ["deliver %d-%d" % (leader, other)
                    for other in range(1, self.nodes + 1) if other != leader]
        wait = ["tick %d %d" % (leader, EXPIRED_TICKS // 4)] + all_hear
        return ["heal"] + all_hear + [
            "transfer %d %d" % (leader, target), "drop %d>%d" % (leader, target),
            self.propose(leader)] + wait + [self.propose(leader)] + wait + wait + [
                self.propose(leader)]

    def change(self):
        """Asks for a change of the members, often one that is refused."""
        target = self.node()
        change = self.next_change[target]
        if self.dice.below(6) == 0:
            change = CHANGES[self.dice.below(len(CHANGES))]
        elif self.dice.below(2) == 0:
            self.next_change[target] = "promote" if change == "add" else "remove"
        leader = 0 if self.dice.below(4) > 0 else self.mostly_center()
        return (["heal"] if self.dice.below(3) == 0 else []) + [
            "%s %d %d" % (change, leader, target)]

    def early_change(self):
        """A leader that has committed nothing yet is asked for a change."""
        leader = self.mostly_center()
        others = [node for node in range(1, self.nodes + 1) if node != leader]
        return ["heal", "tick 0 %d" % EXPIRED_TICKS, "campaign %d" % leader] + [
            "deliver %d>%d" % pair for _ in ("pre-votes", "votes")
            for other in others for pair in ((leader, other), (other, leader))] + self.change()

    def rest(self):
        return ["stabilize"] + (self.change() if self.changes else [])

    def make(self):
        steps = 0
        to_rest = STEPS_TO_REST
        while steps < STEPS - 1:
            added = self.steps() if to_rest > 0 else self.rest()
            to_rest = STEPS_TO_REST - self.dice.below(12) if to_rest <= 0 else to_rest
            for line in added:
                self.lines.append(line)
                if line.startswith(("deliver", "campaign", "restart") + CHANGES):
                    self.lines.append("status")
                if line.startswith(CHANGES):
                    to_rest -= CHANGE_STEPS
            steps += len(added)
            to_rest -= len(added)
        self.lines.append("stabilize")
        return "\n".join(self.lines) + "\n"


def script(seed):
    return Script(seed).make()


if __name__ == "__main__":
    sys.stdout.write(script(int(sys.argv[1])))
