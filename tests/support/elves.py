"""ELF libraries made in memory."""

from __future__ import annotations

import struct


class Maker:
    """A small ELF library in either class and byte order: header, segments, tables."""

    def __init__(self, *, bits: int = 64, order: str = "<", type_: int = 3) -> None:
        self.bits, self.order, self.type = bits, order, type_
        self.tags: list[tuple[int, int]] = []
        self.strings = bytearray(b"\0")
        self.extra: list[tuple[int, bytes, int]] = []  # further segments: type, bytes, align
        self.after = bytearray()
        self.base = 0x10000

    def text(self, value: str) -> int:
        at = len(self.strings)
        self.strings += value.encode() + b"\0"
        return at

    def string(self, tag: int, value: str) -> None:
        self.tags.append((tag, self.text(value)))

    def table(self, tag: int, data: bytes) -> None:
        """Bytes that a tag gives the address of; they stand at a fixed place."""
        self.tags.append((tag, self.base + 0x3000 + len(self.after)))
        self.after += data

    def build(self) -> bytes:
        wide = self.bits == 64
        word = "Q" if wide else "I"
        count = 2 + len(self.extra)
        head = 64 if wide else 52
        entry = 56 if wide else 32
        tags = [*self.tags, (5, self.base + 0x1000), (10, len(self.strings)), (0, 0)]
        dynamic = b"".join(struct.pack(self.order + word * 2, *tag) for tag in tags)
        body = bytearray(0x1000)
        image = body + self.strings.ljust(0x1000, b"\0") + dynamic.ljust(0x1000, b"\0")
        image += bytes(self.after).ljust(0x1000, b"\0")
        segments = [(1, 0, self.base, len(image), 4096), (2, 0x2000, 0, len(dynamic), 8)]
        for kind, data, align in self.extra:
            segments.append((kind, len(image), 0, len(data), align))
            image += data + bytes(-len(data) % 8)
        packed = b""
        for kind, offset, address, size, align in segments:
            if wide:
                values = (kind, 4, offset, address, address, size, size, align)
                packed += struct.pack(self.order + "IIQQQQQQ", *values)
            else:
                values = (kind, offset, address, address, size, size, 4, align)
                packed += struct.pack(self.order + "IIIIIIII", *values)
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if self.order == "<" else 2, 1]) + bytes(9)
        form = self.order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
        header = struct.pack(form, self.type, 62, 1, 0, head, 0, 0, head, entry, count, 0, 0, 0)
        start = ident + header + packed
        image[: len(start)] = start
        return bytes(image)


def small_library() -> bytes:
    make = Maker()
    make.string(1, "libc.so.6")
    make.string(14, "libown.so.1")
    name = make.text("V_1")
    make.table(
        0x6FFFFFFE,
        struct.pack("<HHIII", 1, 1, name, 16, 0) + struct.pack("<IHHII", 0, 0, 2, name, 0),
    )
    make.extra.append((4, struct.pack("<III", 4, 16, 1) + b"GNU\0" + bytes(16), 4))
    return make.build()
