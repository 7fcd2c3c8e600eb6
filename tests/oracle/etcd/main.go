// SPDX-License-Identifier: Apache-2.0

// etcd-drive runs scripts (../README.md) on etcd's Raft cores and prints what came of it, as
// raft-drive does on ours.
//
//	etcd-drive [FILE]
package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"go.etcd.io/etcd/raft/raftpb"
)

const exitUsage = 64

var out = bufio.NewWriter(os.Stdout)

func say(format string, arguments ...interface{}) {
	fmt.Fprintf(out, format, arguments...)
}

type line struct {
	word    string
	numbers []uint64
	between byte
}

func parse(text string) (line, bool) {
	l := line{between: ' '}
	length := strings.IndexByte(text, ' ')
	if length < 0 {
		return line{word: text}, true
	}
	l.word = text[:length]
	for i, field := range strings.FieldsFunc(text[length:], func(r rune) bool {
		return strings.ContainsRune(" >-", r)
	}) {
		number, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return l, false
		}
		if i == 1 {
			l.between = text[strings.IndexAny(text[length+1:], " >-")+length+1]
		}
		l.numbers = append(l.numbers, number)
	}
	return l, true
}

func (l line) between2(act func(a, b uint64)) {
	act(l.numbers[0], l.numbers[1])
	if l.between == '-' {
		act(l.numbers[1], l.numbers[0])
	}
}

// tick: at a node, or, if that is 0, at all that do not lead.
func (l line) tick(c *cores) {
	for _, n := range c.nodes {
		if l.numbers[0] == n.id || (l.numbers[0] == 0 && n.leads == 0) {
			c.tick(n.id, l.numbers[1])
		}
	}
}

// propose: at a node, or, if that is 0, at all that lead.
func (l line) propose(c *cores) {
	for _, n := range c.nodes {
		if l.numbers[0] == n.id || (l.numbers[0] == 0 && n.leads != 0) {
			c.propose(n.id, l.numbers[1])
		}
	}
}

// change: at a node, or, if that is 0, at all that lead.
func (l line) change(c *cores, change raftpb.ConfChangeType) {
	for _, n := range c.nodes {
		if l.numbers[0] == n.id || (l.numbers[0] == 0 && n.leads != 0) {
			c.change(change, n.id, l.numbers[1])
		}
	}
}

func (l line) deliver(c *cores) {
	switch {
	case l.between == '>':
		c.deliverElections(l.numbers[0], l.numbers[1])
	case len(l.numbers) == 3:
		c.exchange(l.numbers[0], l.numbers[1], l.numbers[2])
	default:
		c.exchange(l.numbers[0], l.numbers[1], math.MaxUint64)
	}
}

type command struct {
	numbersMin, numbersMax int
	ids                    int // how many of the numbers must be nodes', different ones
	run                    func(c *cores, l line)
}

var commands = map[string]command{
	"campaign": {1, 1, 1, func(c *cores, l line) { c.campaign(l.numbers[0]) }},
	"tick":     {2, 2, 0, func(c *cores, l line) { l.tick(c) }},
	"propose":  {2, 2, 0, func(c *cores, l line) { l.propose(c) }},
	"deliver":  {2, 3, 2, func(c *cores, l line) { l.deliver(c) }},
	"repeat":   {2, 2, 2, func(c *cores, l line) { l.between2(c.repeat) }},
	"drop":     {2, 2, 2, func(c *cores, l line) { l.between2(c.drop) }},
	"cut":      {2, 2, 2, func(c *cores, l line) { l.between2(c.cut) }},
	"isolate":  {1, 1, 1, func(c *cores, l line) { c.isolate(l.numbers[0]) }},
	"heal":     {0, 0, 0, func(c *cores, l line) { c.heal() }},
	"restart":  {1, 1, 1, func(c *cores, l line) { c.boot(c.node(l.numbers[0])) }},
	"transfer": {2, 2, 2, func(c *cores, l line) { c.transfer(l.numbers[0], l.numbers[1]) }},
	"add":      {2, 2, 0, func(c *cores, l line) { l.change(c, raftpb.ConfChangeAddLearnerNode) }},
	"promote":  {2, 2, 0, func(c *cores, l line) { l.change(c, raftpb.ConfChangeAddNode) }},
	"remove":   {2, 2, 0, func(c *cores, l line) { l.change(c, raftpb.ConfChangeRemoveNode) }},
	"stabilize": {0, 0, 0, func(c *cores, l line) {
		c.stabilize()
		c.status()
	}},
	"status": {0, 0, 0, func(c *cores, l line) { c.status() }},
}

func run(c *cores, l line) bool {
	command, known := commands[l.word]
	if !known || c == nil || len(l.numbers) < command.numbersMin ||
		len(l.numbers) > command.numbersMax {
		return false
	}
	for _, id := range l.numbers[:command.ids] {
		if id < 1 || id > uint64(len(c.nodes)) {
			return false
		}
	}
	if command.ids == 2 && l.numbers[0] == l.numbers[1] {
		return false
	}
	command.run(c, l)
	return true
}

func runFile(file *os.File) bool {
	var c *cores
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		text := scanner.Text()
		if text == "" || text[0] == '#' {
			continue
		}
		say("> %s\n", text)
		l, good := parse(text)
		switch {
		case good && l.word == "nodes" && len(l.numbers) >= 1 && l.numbers[0] >= 1:
			voters := l.numbers[0]
			if len(l.numbers) >= 4 {
				voters = l.numbers[3]
			}
			c = newCores(l.numbers[0], voters, len(l.numbers) >= 2 && l.numbers[1] == 1)
		case good && l.word == "script":
		case !good || !run(c, l):
			fmt.Fprintf(os.Stderr, "etcd-drive: not a command here: %s\n", text)
			return false
		}
	}
	check(scanner.Err())
	return true
}

func main() {
	file := os.Stdin
	if len(os.Args) > 1 {
		var err error
		file, err = os.Open(os.Args[1])
		check(err)
	}
	good := runFile(file)
	check(out.Flush())
	if !good {
		os.Exit(exitUsage)
	}
}
