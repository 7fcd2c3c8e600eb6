#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: proxy.py CUTS FROM:TO:LISTEN:TARGET...

Carries the connections between nodes where there are no network namespaces. FROM dials the port
LISTEN when it wants to talk to TO, whose own port is TARGET. While the file CUTS/A-B exists no byte
goes from A to B, on whoever's connection; afterwards those that waited go on, as TCP's would.
"""
import os
import selectors
import socket
import sys

BYTES = 65536


class Way:
    """One direction of one connection."""

    def __init__(self, name, source, sink):
        self.name, self.source, self.sink, self.waiting = name, source, sink, b""


def is_cut(cuts, name):
    return os.path.exists(os.path.join(cuts, name))


def main():
    cuts = sys.argv[1]
    poll = selectors.DefaultSelector()
    for route in sys.argv[2:]:
        dialer, dialed, listen, target = route.split(":")
        server = socket.create_server(("127.0.0.1", int(listen)))
        server.setblocking(False)
        poll.register(server, selectors.EVENT_READ, (dialer, dialed, int(target)))
    ways = {}  # by the socket that they read from

    def close(way):
        for end in (way.source, way.sink):
            if ways.pop(end, None) is not None:
                try:
                    poll.unregister(end)
                except KeyError:
                    pass
                end.close()

    def accept(server, dialer, dialed, target):
        near, _ = server.accept()
        far = socket.socket()
        try:
            far.settimeout(1)
            far.connect(("127.0.0.1", target))
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways[near] = Way(f"{dialer}-{dialed}", near, far)
        ways[far] = Way(f"{dialed}-{dialer}", far, near)

    def carry(way):
        try:
            if not way.waiting:
                way.waiting = way.source.recv(BYTES)
                if not way.waiting:
                    return close(way)
            way.waiting = way.waiting[way.sink.send(way.waiting):]
        except BlockingIOError:
            pass
        except OSError:
            close(way)

    while True:
        for way in list(ways.values()):
            wanted = not is_cut(cuts, way.name)
            present = way.source in poll.get_map()
            if wanted and not present:
                poll.register(way.source, selectors.EVENT_READ, way)
            elif not wanted and present:
                poll.unregister(way.source)
        for key, _ in poll.select(0.02):
            if isinstance(key.data, Way):
                if key.fileobj in ways:
                    carry(key.data)
            else:
                accept(key.fileobj, *key.data)
        for way in list(ways.values()):
            if way.waiting and not is_cut(cuts, way.name):
                carry(way)


main()
