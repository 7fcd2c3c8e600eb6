#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs scripts on both programs and compares what they print: README.md says what and why.

    compare.py --seeds A..B --ours PROGRAM --etcd PROGRAM [--plant NAME]
    compare.py --script FILE --ours PROGRAM --etcd PROGRAM [--plant NAME]

Ends with "scripts N, differing N, allowed N". Exit 1 with the first differing script and what
both made of it; 64 for wrong arguments.
"""
import argparse
import collections
import itertools
import os
import re
import subprocess
import sys

import scripts

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS_AT_ONCE = 200
EXIT_USAGE = 64
COMPLAINTS_MAX = 2  # of each program's own; one error brings many
NODE = re.compile(
    r"(?P<known>node (?P<id>\d+) (?P<role>\S+) term (?P<term>\d+) vote \d+ leader \d+ last \S+ "
    r"log \S+ members \S+) commit (?P<commit>\d+)/(?P<commit_term>\d+) committed (?P<committed>\S+)$"
)


def allowed_reasons():
    """The first column of the table in README.md."""
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as file:
        return set(re.findall(r"^\| `([a-z-]+)` \|", file.read(), re.MULTILINE))


def committed_somewhere(lines, at, index):
    """True if a node of the status that line `at` belongs to has committed up to `index`."""
    while NODE.match(lines[at - 1]):
        at -= 1
    nodes = itertools.takewhile(bool, map(NODE.match, lines[at:]))
    return any(int(node["commit"]) >= index for node in nodes)


def heard_later(command, ours, etcd, at):
    """True if all that differs in line `at` is how far a node has heard of the commit index: not
    in a cluster at rest, not of a leader that has committed an entry of its own term, and only up
    to what some node has committed in the other program as well."""
    mine, theirs = NODE.match(ours[at]), NODE.match(etcd[at])
    if command != "> status" or not mine or not theirs or mine["known"] != theirs["known"]:
        return False
    if mine["role"] == "leader" and mine["term"] in (mine["commit_term"], theirs["commit_term"]):
        return False
    mine, theirs = int(mine["commit"]), int(theirs["commit"])
    return committed_somewhere(etcd if mine > theirs else ours, at, max(mine, theirs))


class Script:
    """What both programs made of one script."""

    def __init__(self, number, ours, etcd):
        self.number = number
        self.ours = ours
        self.etcd = etcd
        self.allowed = collections.Counter(
            line[len("allowed "):] for line in ours + etcd if line.startswith("allowed "))
        self.wrong = []
        self.compare()
        self.check_committed()

    def compare(self):
        for name, lines in (("ours", self.ours), ("etcd", self.etcd)):
            never = [line for line in lines if line.startswith(("unsafe ", "error ", "unstable"))]
            self.wrong += ["%s: %s" % (name, line) for line in never[:COMPLAINTS_MAX]]
        mine = [line for line in self.ours if not line.startswith("allowed ")]
        theirs = [line for line in self.etcd if not line.startswith("allowed ")]
        command = ""
        mine.append("(the end)")
        theirs.append("(the end)")
        for i, (one, other) in enumerate(zip(mine, theirs)):
            command = one if one.startswith("> ") else command
            if one != other and heard_later(command, mine, theirs, i):
                self.allowed["commit-heard-later"] += 1
            elif one != other:
                self.wrong += ["ours: %s" % one, "etcd: %s" % other]
                break

    def check_committed(self):
        """Whoever committed up to an index, of either program, committed the same."""
        digests = {}
        for name, lines in (("ours", self.ours), ("etcd", self.etcd)):
            for node in filter(None, map(NODE.match, lines)):
                if digests.setdefault(node["commit"], node["committed"]) != node["committed"]:
                    self.wrong.append("%s: another log is committed up to %s: %s"
                                      % (name, node["commit"], node[0]))
                    return

    def show(self):
        print("script %s differs:" % self.number)
        for name, lines in (("ours", self.ours), ("etcd", self.etcd)):
            print("---- %s" % name)
            print("\n".join(lines))
        print("---- script %s differs:" % self.number)
        print("\n".join(self.wrong))


class Comparison:
    def __init__(self, programs):
        self.programs = programs
        self.reasons = allowed_reasons()
        self.allowed = collections.Counter()
        self.facts = collections.Counter()
        self.scripts = 0
        self.differing = 0

    def count(self, script):
        """How much happened, so that it is seen if nothing did."""
        led = set()
        for line in script.ours:
            node = NODE.match(line)
            if line.startswith("accepted "):
                self.facts["proposals accepted"] += 1
            elif line.startswith("changed "):
                self.facts["changes of the members"] += 1
            elif line == "stable":
                self.facts["times at rest"] += 1
            elif node and node["role"] == "leader":
                led.add(node["term"])
        self.facts["terms seen with a leader"] += len(led)

    def add(self, script):
        self.scripts += 1
        self.count(script)
        self.allowed += script.allowed
        script.wrong += ["%s is not in the table" % reason for reason in script.allowed
                         if reason not in self.reasons]
        if script.wrong:
            self.differing += 1
            if self.differing == 1:
                script.show()

    def run(self, text):
        """False if a program did not come to the end of the text."""
        parts = []
        ended = True
        for name, program in self.programs:
            result = subprocess.run(program, input=text, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, universal_newlines=True, check=False)
            parts.append(by_script(result.stdout.splitlines()))
            if result.returncode != 0:
                ended = False
                print("%s ends with %d: %s" % (name, result.returncode, result.stderr.strip()))
        ours, etcd = parts
        for number in ours if len(ours) > len(etcd) else etcd:
            self.add(Script(number, ours.get(number, []), etcd.get(number, [])))
            if number not in ours or number not in etcd:
                break
        if not ended:
            self.differing = max(self.differing, 1)
        return ended

    def summary(self):
        """Prints it; True if all is well."""
        for reason in sorted(self.allowed):
            print("allowed %s %d" % (reason, self.allowed[reason]))
        print(", ".join("%s %d" % (fact, self.facts[fact]) for fact in sorted(self.facts)))
        print("scripts %d, differing %d, allowed %d"
              % (self.scripts, self.differing, sum(self.allowed.values())))
        return self.facts["times at rest"] > 0 and self.differing == 0


def by_script(lines):
    """The lines of each script, by the number in its "> script N"."""
    parts = collections.OrderedDict()
    part = []
    for line in lines:
        if line.startswith("> script "):
            part = parts.setdefault(line[len("> script "):], [])
        part.append(line)
    return parts


def texts(arguments):
    """What the programs are to read, in portions."""
    if arguments.script:
        with open(arguments.script, encoding="utf-8") as file:
            yield "script 0\n" + file.read()
        return
    begin, end = map(int, arguments.seeds.split(".."))
    for first in range(begin, end, SEEDS_AT_ONCE):
        yield "".join(scripts.script(seed)
                      for seed in range(first, min(first + SEEDS_AT_ONCE, end)))


def main():
    parser = argparse.ArgumentParser()
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seeds")
    what.add_argument("--script")
    parser.add_argument("--ours", required=True)
    parser.add_argument("--etcd", required=True)
    parser.add_argument("--plant")
    arguments = parser.parse_args()
    if arguments.seeds and not re.fullmatch(r"\d+\.\.\d+", arguments.seeds):
        print("--seeds A..B", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    ours = [arguments.ours] + (["--plant", arguments.plant] if arguments.plant else [])
    comparison = Comparison((("ours", ours), ("etcd", [arguments.etcd])))
    for text in texts(arguments):
        if not comparison.run(text):
            break
    sys.exit(0 if comparison.summary() else 1)


if __name__ == "__main__":
    main()
