"""Damage that knows the format: parts are dropped, doubled, swapped, renamed, given odd values and false lengths, so
that what comes out still reaches the deep places of a parser. Everything is drawn from one `random.Random`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    12,
    15,
    16,
    17,
    24,
    32,
    127,
    128,
    255,
    256,
    4095,
    32767,
    32768,
    65535,
    1 << 31,
    (1 << 32) - 1,
)
TEXTS = (
    b"", b" ", b"0", b"-1", b"1e3", b"1E400", b"nan", b"inf", b"0x10", b"1\\2", b"\\", b"\\\\",
    b"1.2.840.10008.1.2.4.70", b"MONOCHROME1", b"PALETTE COLOR", b"YBR_FULL_422", b"057Y", b"ISO 2022 IR 87",
    b"\x1b$B", b"\0\0", b"\xff\xfe", b"A" * 70,
    b"9" * 400, b"\xc3\x28", b"\n\r\t", b"%s%n", b"../../x",
)  # fmt: skip
TAGS = (
    0x00080005, 0x00080016, 0x00080060, 0x00100020, 0x00101010, 0x00180015, 0x00185101, 0x00181164, 0x00200020,
    0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101,
    0x00280102, 0x00280103, 0x00280106, 0x00280107, 0x00280120, 0x00280121, 0x00281050, 0x00281051, 0x00281052,
    0x00281053, 0x00281056, 0x00281101, 0x00281201, 0x00282110, 0x00283000, 0x00283010, 0x00540220, 0x20500020,
    0x7FE00008, 0x7FE00009, 0x7FE00010,
)  # fmt: skip
REPRESENTATIONS = (
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OW PN SH SL SQ SS ST TM UC UI UL UN UR US UT ZZ".split()
)
LONG = {b"OB", b"OD", b"OF", b"OL", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"}


def mutate(random: Random, seeds: tuple[tuple[str, bytes], ...]) -> bytes:
    """A damaged film: one seed, one to four changes, sometimes bytes changed on top."""
    kind, data = random.choice(seeds)
    change: Callable[[Random, bytes], bytes] = {"png": change_png, "jpeg": change_jpeg, "dicom": change_dicom}[kind]
    for _ in range(random.randint(1, 4)):
        if random.random() < 0.75:
            try:
                data = change(random, data)
            except (
                struct.error,
                zlib.error,
                IndexError,
                ValueError,
            ):  # damaged beyond its structure by an earlier change
                data = change_bytes(random, data)
        else:
            data = change_bytes(random, data)
    if random.random() < 0.05:
        other = random.choice(seeds)[1]
        cut = random.randint(0, min(len(data), len(other)))
        data = data[:cut] + other[cut:]
    return data


def change_bytes(random: Random, data: bytes) -> bytes:
    """Bits turned, bytes set, cut out, put in, doubled; more often near the start, where the headers are."""
    if not data:
        return random.randbytes(20)
    reach = len(data) if random.random() < 0.4 else min(len(data), 400)
    place, way = random.randrange(reach), random.randrange(7)
    if way == 0:
        return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]
    if way == 1:
        return data[:place] + bytes([random.choice((0, 1, 127, 128, 254, 255))]) + data[place + 1 :]
    if way == 2:
        return data[:place] + data[place + random.randint(1, 16) :]
    if way == 3:
        return data[:place] + random.randbytes(random.randint(1, 8)) + data[place:]
    if way == 4:
        return data[: random.randrange(len(data))]
    if way == 5:
        number = random.choice(NUMBERS)
        text = number.to_bytes(4, random.choice(("big", "little")))
        text = text if random.random() < 0.5 else text[:2]
        return data[:place] + text + data[place + len(text) :]
    end = place + random.randint(1, 64)
    return data[:end] + data[place:end] * random.randint(1, 5) + data[end:]


def change_list(random: Random, parts: list) -> None:
    """Drop, double or swap parts in place."""
    if not parts:
        return
    place, way = random.randrange(len(parts)), random.randrange(3)
    if way == 0:
        del parts[place]
    elif way == 1:
        parts[place:place] = [parts[random.randrange(len(parts))]] * random.choice((1, 1, 2, 40))
    else:
        other = random.randrange(len(parts))
        parts[place], parts[other] = parts[other], parts[place]


# ------------------------------------------------------------------------------------------------------------- PNG


def change_png(random: Random, data: bytes) -> bytes:
    """One chunk or the header changed; sums are made right again, mostly."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        size = struct.unpack_from(">I", data, place)[0]
        chunks.append([data[place + 4 : place + 8], data[place + 8 : place + 8 + size]])
        place += 12 + size
    way = random.randrange(6)
    if way == 0:
        change_list(random, chunks)
    elif way == 1:
        header = bytearray(chunks[0][1])
        if random.random() < 0.4:
            struct.pack_into(">I", header, 4 * random.randrange(2), random.choice(NUMBERS))
        else:
            header[random.randrange(8, 13)] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0][1] = bytes(header)
    elif way == 2:
        one = random.choice(chunks)
        one[1] = change_bytes(random, one[1])
    elif way == 3:
        name = random.choice((b"tRNS", b"PLTE", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"iCCP", b"gAMA", b"zTXt", b"sBIT"))
        chunks.insert(random.randint(1, len(chunks)), [name, random.choice((b"", random.randbytes(30), b"a\0\0x\x9c"))])
    elif way == 4:
        for one in chunks:
            if one[0] == b"IDAT":
                one[1] = zlib.compress(random.randbytes(random.choice((0, 1, 100, 5000))))
    else:
        random.choice(chunks)[0] = random.choice((b"IDAT", b"IEND", b"IHDR", b"PLTE", b"tEXt", b"abcd", b"\0\0\0\0"))
    lying = random.random() < 0.15
    parts = [data[:8]]
    for name, body in chunks:
        size = random.choice(NUMBERS) if lying and random.random() < 0.3 else len(body)
        total = zlib.crc32(name + body) if not lying or random.random() < 0.7 else 0
        parts.append(struct.pack(">I", size) + name + body + struct.pack(">I", total))
    return b"".join(parts)


# ------------------------------------------------------------------------------------------------------------ JPEG


def change_jpeg(random: Random, data: bytes) -> bytes:
    """One segment changed; also of a codestream that lies within a DICOM file."""
    segments, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        size = struct.unpack_from(">H", data, place + 2)[0]
        segments.append(bytearray(data[place : place + 2 + size]))
        place += 2 + size
        if segments[-1][1] == 0xDA:
            break
    rest, way = data[place:], random.randrange(6)
    frames = [one for one in segments if one[1] in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)]
    if way == 0:
        change_list(random, segments)
    elif way == 1 and frames:
        frame = random.choice(frames)
        frame[random.randrange(4, len(frame))] = random.choice((0, 1, 2, 3, 4, 8, 11, 12, 16, 17, 34, 128, 255))
    elif way == 2:
        one = random.choice(segments)
        one[4:] = change_bytes(random, bytes(one[4:]))
        if random.random() < 0.7:
            struct.pack_into(">H", one, 2, min(len(one) - 2, 65535))
    elif way == 3:
        body = random.choice(
            (b"Exif\0\0MM\0*\0\0\0\x08" + random.randbytes(40), b"Exif\0\0II*\0", b"MPF\0MM\0*", b"Adobe\0d\0\0\0\0\2")
        )
        name = random.choice((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xDD, 0xFE, 0xC4, 0xDB))
        segments.insert(
            random.randint(0, len(segments)), bytearray(struct.pack(">BBH", 255, name, len(body) + 2) + body)
        )
    elif way == 4:
        random.choice(segments)[1] = random.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xDA, 0xD9, 0xF7, 0xFE))
    else:
        rest = (
            change_bytes(random, rest) if random.random() < 0.6 else rest[:-2] + b"".join(map(bytes, segments)) + rest
        )
    return data[:2] + b"".join(map(bytes, segments)) + rest


# ----------------------------------------------------------------------------------------------------------- DICOM


def change_dicom(random: Random, data: bytes) -> bytes:
    """One element changed, in the encoding that the file names; a deflated one is inflated and deflated again."""
    if data[128:132] != b"DICM":
        return _change_elements(random, data, implicit=True, order="<")
    size = struct.unpack_from("<I", data, 140)[0]
    meta, rest = data[132 : 144 + size], data[144 + size :]
    implicit = b"1.2.840.10008.1.2\0" in meta
    order = ">" if b"1.2.840.10008.1.2.2\0" in meta else "<"
    if random.random() < 0.12:
        changed = _change_elements(random, meta, implicit=False, order="<")
        return data[:132] + changed + rest
    if b"1.2.840.10008.1.2.1.99" in meta:
        packer = zlib.compressobj(wbits=-15)
        changed = _change_elements(random, zlib.decompress(rest, wbits=-15), implicit, order)
        return data[:132] + meta + packer.compress(changed) + packer.flush()
    return data[:132] + meta + _change_elements(random, rest, implicit, order)


def _change_elements(random: Random, data: bytes, implicit: bool, order: str) -> bytes:
    elements = _split(data, implicit, order)
    if not elements:
        return change_bytes(random, data)
    way = random.randrange(9)
    one = random.choice(elements)
    if random.random() < 0.5:  # the elements that decoding depends on
        wanted = [element for element in elements if element[0] >> 16 in (0x0028, 0x7FE0, 0x0002)]
        one = random.choice(wanted or elements)
    if way == 0:
        change_list(random, elements)
    elif way == 1:
        one[1] = random.choice(REPRESENTATIONS)
    elif way in (2, 3):
        one[2] = _draw_value(random, order)
    elif way == 4:
        one[3] = random.choice(NUMBERS)
    elif way == 5:
        one[0] = random.choice(TAGS)
    elif way == 6:
        tag = random.choice(TAGS)
        elements.append([tag, random.choice(REPRESENTATIONS), _draw_value(random, order), None])
        if random.random() < 0.8:
            elements.sort(key=lambda element: element[0])
    elif way == 7:
        one[2] = change_bytes(random, one[2])
    else:
        last = elements[-1]
        start = last[2].find(b"\xff\xd8")
        if start >= 0:
            last[2] = last[2][:start] + change_jpeg(random, last[2][start:])
        elif random.random() < 0.5:
            depth = random.choice((1, 3, 200))
            item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
            elements.insert(0, [0x00081140, b"SQ", item * depth, 0xFFFFFFFF])
        else:
            last[2] = change_bytes(random, last[2])
    return b"".join(_join(element, implicit, order) for element in elements)


def _draw_value(random: Random, order: str) -> bytes:
    way = random.randrange(4)
    if way == 0:
        return random.choice(TEXTS)
    if way == 1:
        return struct.pack(order + "H", random.choice(NUMBERS) & 0xFFFF)
    if way == 2:
        return struct.pack(order + "HHH", *(random.choice(NUMBERS) & 0xFFFF for _ in range(3)))
    return random.randbytes(random.randint(0, 20))


def _split(data: bytes, implicit: bool, order: str) -> list[list]:
    """[tag, representation, value, false length or None] of each element; the last one takes what cannot be split."""
    elements, place = [], 0
    while place + 8 <= len(data):
        group, number = struct.unpack_from(order + "HH", data, place)
        representation, head = b"UN", 8
        if implicit:
            size = struct.unpack_from(order + "I", data, place + 4)[0]
        else:
            representation = data[place + 4 : place + 6]
            if representation in LONG:
                head = 12
                if place + 12 > len(data):
                    break
                size = struct.unpack_from(order + "I", data, place + 8)[0]
            else:
                size = struct.unpack_from(order + "H", data, place + 6)[0]
        false = None
        if size > len(data) - place - head:
            false, size = size, len(data) - place - head
        elements.append([group << 16 | number, representation, data[place + head : place + head + size], false])
        place += head + size
    return elements


def _join(element: list, implicit: bool, order: str) -> bytes:
    tag, representation, value, false = element
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    size = len(value) if false is None else false
    if implicit:
        return head + struct.pack(order + "I", size) + value
    if representation in LONG:
        return head + representation + b"\0\0" + struct.pack(order + "I", size) + value
    return head + representation + struct.pack(order + "H", size & 0xFFFF) + value
