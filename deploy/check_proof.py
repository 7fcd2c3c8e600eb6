#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a proof of inclusion with nothing but Python's standard library.

usage: check_proof.py PROOF TRUST

It shares no code with Estreat; the formats are those of merkle/FORMAT.md. Prints the event's
position and exits 0 if a key in TRUST signed the tree head, the payload is the one that the event
header names, and the path leads from the header to the signed root; else exits 1.
"""
import base64
import hashlib
import sys

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def sha256(data):
    return hashlib.sha256(data).digest()


# --- Ed25519 (RFC 8032, section 5.1), on affine points ---


def add(a, b):
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, P - 2, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, P - 2, P) % P
    return x, y


def times(n, point):
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point = add(point, point)
        n >>= 1
    return result


def unpack(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        raise ValueError("not a point")
    return (P - x if x & 1 != sign else x), y


BASE = unpack(bytes.fromhex("58" + "66" * 31))


def signature_holds(public, text, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(r + public + text).digest(), "little") % L
    return s < L and times(s, BASE) == add(unpack(r), times(k, unpack(public)))


# --- the proof ---


def signed_head(note, trust):
    text, _, signatures = note.partition("\n\n")
    text += "\n"
    origin, size, root = text.split("\n")[:3]
    for line in signatures.splitlines():
        _, name, blob = line.split(" ")
        blob = base64.b64decode(blob)
        for key in trust:
            key_name, key_id, public = key.split("+", 2)
            if name == key_name == origin and blob[:4].hex() == key_id:
                public = base64.b64decode(public)[1:]
                if not signature_holds(public, text.encode(), blob[4:]):
                    sys.exit("a trusted key's signature does not hold")
                return int(size), base64.b64decode(root)
    sys.exit("no trusted key signed the tree head")


def root_of(leaf, index, size, path):  # RFC 9162, section 2.1.3.2
    node, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            sys.exit("the path is too long")
        if node & 1 or node == last:
            value = sha256(b"\1" + sibling + value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = sha256(b"\1" + value + sibling)
        node, last = node >> 1, last >> 1
    if last:
        sys.exit("the path is too short")
    return value


def main():
    proof, _, note = open(sys.argv[1], encoding="utf-8").read().partition("\n\n")
    trust = open(sys.argv[2], encoding="utf-8").read().split()
    first, extra, index, *path = proof.split("\n")
    if first != "c2sp.org/tlog-proof@v1":
        sys.exit("not a proof of inclusion")
    event = base64.b64decode(extra.split(" ")[1])
    length = int.from_bytes(event[2:4], "little")
    header, rest = event[4 : 4 + length], event[4 + length :]
    salt, payload = rest[1 : 1 + rest[0]], rest[5 + rest[0] :]
    index = int(index.split(" ")[1])
    size, root = signed_head(note, trust)
    if header[31:63] != sha256(b"\2" + salt + payload):
        sys.exit("the payload is not the one in the event header")
    if int.from_bytes(header[3:11], "little") != index or index >= size:
        sys.exit("the event is not the one at that position")
    if root_of(sha256(b"\0" + header), index, size, [base64.b64decode(h) for h in path]) != root:
        sys.exit("the path does not lead to the signed root")
    print(f"position {index} of {size}: proved")


try:
    main()
except (ValueError, IndexError) as error:
    sys.exit(f"not a proof of inclusion, or not a trust file: {error}")
