#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes every test value of merkle/FORMAT.md again, from the text of that file alone.

Python's standard library only; shares no code with the C implementation.
    check_format.py FORMAT.md            exit 0 if each value is as computed, 1 if not
    check_format.py --print NAME...      prints computed values, for whoever extends the file
"""
import base64
import hashlib
import re
import struct
import sys


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(data):
    return sha256(b"\x00" + data)


def root(hashes):
    if not hashes:
        return sha256(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return sha256(b"\x01" + root(hashes[:k]) + root(hashes[k:]))


def inclusion(position, hashes):
    if len(hashes) == 1:
        return []
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    if position < k:
        return inclusion(position, hashes[:k]) + [root(hashes[k:])]
    return inclusion(position - k, hashes[k:]) + [root(hashes[:k])]


def consistency(old, hashes, known=True):
    if old == len(hashes):
        return [] if known else [root(hashes)]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    if old <= k:
        return consistency(old, hashes[:k], known) + [root(hashes[k:])]
    return consistency(old - k, hashes[k:], False) + [root(hashes[:k])]


def payload_hash(salt, payload):
    return sha256(b"\x02" + salt + payload)


def event_header(event):
    names = [event["key"], event["type"], event["event_id"]]
    return (struct.pack("<BBBQQQI", 1, event["kind"], event["severity"], event["position"],
                        event["time_ns"], event["version"], event["payload_length"])
            + event["payload_hash"]
            + struct.pack("<HHH", *map(len, names)) + b"".join(names))


def log_tree_state(hashes):
    state = struct.pack("<BQ", 1, len(hashes))
    level = hashes
    for _ in range(8):
        full = len(level) // 256
        state += b"".join(level[256 * full:])
        level = [root(level[256 * i:256 * (i + 1)]) for i in range(full)]
    return state + root(hashes)


# Ed25519 (RFC 8032), slowly.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def base_point():
    y = 4 * pow(5, P - 2, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x & 1:
        x = P - x
    return x, y, 1, x * y % P


def point_bytes(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return scalar, digest[32:]


def public_key(seed):
    return point_bytes(point_multiply(expand(seed)[0], base_point()))


def sign(seed, message):
    scalar, prefix = expand(seed)

    def number(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER

    nonce = number(prefix, message)
    commitment = point_bytes(point_multiply(nonce, base_point()))
    challenge = number(commitment, public_key(seed), message)
    return commitment + ((nonce + challenge * scalar) % ORDER).to_bytes(32, "little")


def b64(data):
    return base64.b64encode(data).decode()


def key_id(name, key):
    return sha256(name.encode() + b"\n\x01" + key)[:4]


def checkpoint(origin, seed, hashes):
    text = f"{origin}\n{len(hashes)}\n{b64(root(hashes))}\n"
    signature = key_id(origin, public_key(seed)) + sign(seed, text.encode())
    return f"{text}\n\u2014 {origin} {b64(signature)}\n"


def compute(given):
    """All values, by name; `given` holds those that are inputs."""
    out = {}
    leaves = [leaf_hash(given[f"leaf{i}"]) for i in range(8)]
    out["root0"] = root([])
    for size in range(1, 9):
        out[f"root{size}"] = root(leaves[:size])

    salt, payload = given["salt"], given["payload"]
    out["payload_hash_unsalted"] = payload_hash(b"", payload)
    out["payload_hash_salted"] = payload_hash(salt, payload)

    event = dict(position=5, time_ns=1700000000123456789, version=2, kind=2, severity=3,
                 key=b"user/42", type=b"login", event_id=b"e-1", payload_length=len(payload),
                 payload_hash=out["payload_hash_salted"])
    out["event_header"] = event_header(event)
    out["event_leaf_hash"] = leaf_hash(out["event_header"])
    system = dict(position=2**64 - 1, time_ns=2**63, version=0, kind=4, severity=0, key=b"\x00",
                  type=b"", event_id=b"", payload_length=0, payload_hash=payload_hash(b"", b""))
    out["system_header"] = event_header(system)
    out["system_leaf_hash"] = leaf_hash(out["system_header"])

    out["range_2_7"] = struct.pack("<QQ", 2, 7) + root(leaves[2:4]) + root(leaves[4:6]) + leaves[6]

    many = [leaf_hash(struct.pack("<Q", i)) for i in range(259)]
    tile = b"".join(many[:256])
    out["tile_sha256"] = sha256(tile)
    out["tile_root"] = root(many[:256])
    out["state_1"] = log_tree_state(leaves[:1])
    out["state_259_sha256"] = sha256(log_tree_state(many))

    origin, seed = "example.com/estreat", given["seed"]
    key = public_key(seed)
    identity = f"{origin}+{key_id(origin, key).hex()}+"
    out["public_key"] = key
    out["verifier_key"] = identity + b64(b"\x01" + key)
    out["signer_key"] = "PRIVATE+KEY+" + identity + b64(b"\x01" + seed)
    out["checkpoint"] = checkpoint(origin, seed, leaves)

    log = leaves[:5] + [out["event_leaf_hash"]] + leaves[6:]
    extra = (b"\x01\x01" + struct.pack("<H", len(out["event_header"])) + out["event_header"]
             + bytes([len(salt)]) + salt + struct.pack("<I", len(payload)) + payload)
    signed = checkpoint(origin, seed, log)
    out["inclusion_file"] = (f"c2sp.org/tlog-proof@v1\nextra {b64(extra)}\nindex 5\n"
                             + "".join(b64(h) + "\n" for h in inclusion(5, log)) + "\n" + signed)
    out["consistency_file"] = ("estreat/consistency-proof@v1\n"
                               f"old 3 {b64(root(log[:3]))}\nnew 6 {b64(root(log[:6]))}\n"
                               + "".join(b64(h) + "\n" for h in consistency(3, log[:6]))
                               + "head\n"
                               + "".join(b64(h) + "\n" for h in consistency(6, log))
                               + "\n" + signed)
    return out


INPUTS = {"leaf0": b"", "leaf1": b"\x00", "leaf2": b"\x10", "leaf3": b"\x20\x21",
          "leaf4": b"\x30\x31", "leaf5": bytes(range(0x40, 0x44)),
          "leaf6": bytes(range(0x50, 0x58)), "leaf7": bytes(range(0x60, 0x70)),
          "salt": bytes(range(16)), "payload": b"hello, estreat", "seed": bytes(range(32))}


def show(value):
    return '"' + value.replace("\n", "\\n") + '"' if isinstance(value, str) else value.hex()


def read_values(path):
    values = {}
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for block in re.findall(r"^```values\n(.*?)^```$", text, re.S | re.M):
        for line in block.splitlines():
            name, _, value = line.partition(" =")
            if name in values:
                sys.exit(f"{name} stands twice")
            values[name] = value.strip()
    return values


def main(arguments):
    if arguments[:1] == ["--print"]:
        everything = {**INPUTS, **compute(INPUTS)}
        for name in arguments[1:]:
            print(f"{name} = {show(everything[name])}".rstrip())
        return 0
    values = read_values(arguments[0])
    given = {name: bytes.fromhex(values.get(name, "missing")) for name in INPUTS}
    computed = {**{name: show(value) for name, value in given.items()},
                **{name: show(value) for name, value in compute(given).items()}}
    wrong = [name for name in values.keys() | computed.keys()
             if values.get(name) != computed.get(name)]
    for name in sorted(wrong):
        print(f"{name}: the file has {values.get(name)}, computed {computed.get(name)}")
    print(f"{len(computed) - len(wrong)} values right, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
