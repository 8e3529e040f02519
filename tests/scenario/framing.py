#!/usr/bin/env python3
"""framing.py - every way to split input and to join output, byte for byte, and what happens to input that is broken."""
import random
import subprocess
import harness
from harness import FRAMED, length32, lines, varint

MOST = 16 << 20  # GQ_SLOT_BYTES_MAX
SLOT = 300
RANDOM = random.Random(2)


def sample(count=900, newline=False):
    """Messages of every length up to the slot's, empty ones among them; without newlines unless wanted."""
    lengths = [0, 1, 127, 128, SLOT - 1, SLOT, 0] + [RANDOM.randrange(SLOT + 1) for _ in range(count)]
    made = [RANDOM.randbytes(n) for n in lengths]
    return made if newline else [m.replace(b"\n", b"\r") for m in made]


class Framing(harness.Scenario):
    def source(self, kind, split, data, **more):
        """The source's key, and what goes to standard input."""
        if kind == "file":
            return {"file": {"path": self.write("in", data), "split": split, **more}}, b""
        return {"stdin": {"split": split, **more}}, data

    def passes(self, kind, split, join, data, messages, **more):
        source, stdin = self.source(kind, split, data, **more)
        to_stdout = kind == "stdin"
        sink = {"stdout": {"join": join}} if to_stdout else {"file": {"path": self.out, "join": join}}
        summary = self.run_ok(self.pipeline(source=source, sink=sink, queue={"capacity": 64, "slot_bytes": SLOT}), stdin=stdin)
        got = self.stdout if to_stdout else self.read()
        self.assertEqual(got, FRAMED[join](messages), (kind, split, join))
        self.assertEqual((summary["messages_in"], summary["messages_out"]), (len(messages), len(messages)))
        self.assertEqual((summary["bytes_in"], summary["bytes_out"]), (sum(map(len, messages)),) * 2)

    def test_every_split_meets_every_join_on_file_and_standard_streams(self):
        for split in ("lines", "length32", "varint"):
            messages = sample(newline=split != "lines")
            for join in ("lines", "length32", "varint", "raw"):
                for kind in ("file", "stdin"):
                    self.passes(kind, split, join, FRAMED[split](messages), messages)

    def test_fixed_records_up_to_the_slot(self):
        for size in (1, 7, SLOT):
            messages = [RANDOM.randbytes(size) for _ in range(500)]
            for kind in ("file", "stdin"):
                self.passes(kind, "fixed", "length32", b"".join(messages), messages, record_bytes=size)

    def test_the_whole_input_is_one_message(self):
        for kind in ("file", "stdin"):
            for size in (0, 1, SLOT):
                data = RANDOM.randbytes(size)
                self.passes(kind, "whole", "length32", data, [data])

    def test_empty_input_is_no_message(self):
        for kind in ("file", "stdin"):
            for split in ("lines", "length32", "varint", "fixed"):
                self.passes(kind, split, "length32", b"", [], **({"record_bytes": 8} if split == "fixed" else {}))

    def test_a_last_line_needs_no_newline_and_carriage_returns_stay(self):
        for kind in ("file", "stdin"):
            self.passes(kind, "lines", "lines", b"a\r\n\r\n\nlast", [b"a\r", b"\r", b"", b"last"])
            self.passes(kind, "lines", "length32", b"\n", [b""])

    def test_a_stream_that_comes_byte_by_byte_is_cut_the_same(self):
        messages = [b"", b"one", b"x" * SLOT]
        for split in ("lines", "length32", "varint"):
            pipeline = self.pipeline(source={"stdin": {"split": split}}, queue={"capacity": 2, "slot_bytes": SLOT})
            process = self.start("run", pipeline, stdin=subprocess.PIPE)
            for byte in FRAMED[split](messages):
                process.stdin.write(bytes([byte]))
                process.stdin.flush()
            code, _, err = self.finish(process)
            self.assertEqual((code, self.read()), (0, lines(messages)), err)

    # --- broken input ------------------------------------------------------------------------------------------------

    def breaks(self, split, good, bad, *expected, **more):
        """`bad` after 20 good messages: exit 65, a sentence with `expected`, and the good ones delivered."""
        for kind in ("file", "stdin"):
            source, stdin = self.source(kind, split, good + bad, **more)
            pipeline = self.pipeline(source=source, queue={"capacity": 8, "slot_bytes": SLOT})
            code, _, err = self.gpuq("run", pipeline, stdin=stdin)
            self.assertEqual(code, 65, err)
            for text in (*expected, self.path("in") if kind == "file" else "standard input"):
                self.assertIn(text, err)
            self.assertEqual(self.read(), lines([b"good"] * 20))
            self.assertIn("20 in, 20 out", err)

    def test_a_line_longer_than_a_slot_names_its_line(self):
        self.breaks("lines", lines([b"good"] * 20), b"x" * (SLOT + 1) + b"\nmore\n", ":21:", "slot_bytes", str(SLOT))
        self.breaks("lines", lines([b"good"] * 20), b"x" * 1000000, ":21:", "slot_bytes", "raise it")

    def test_a_line_longer_than_any_slot_is_given_no_advice_that_cannot_be_taken(self):
        source, _ = self.source("file", "lines", b"x" * (MOST + 1) + b"\n")
        code, _, err = self.gpuq("run", self.pipeline(source=source, queue={"capacity": 2, "slot_bytes": MOST}))
        self.assertEqual(code, 65, err)
        self.assertIn(":1: the line is longer than queue.slot_bytes, which is 16777216, the most that there can be\n", err)

    def test_a_record_longer_than_a_slot_names_record_and_offset(self):
        long = b"x" * (SLOT + 1)
        self.breaks("length32", length32([b"good"] * 20), length32([long]), "record 21 at offset 160", str(SLOT + 1), str(SLOT))
        self.breaks("varint", varint([b"good"] * 20), varint([long]), "record 21 at offset 100", str(SLOT + 1), str(SLOT))
        self.breaks("length32", length32([b"good"] * 20), b"\xff\xff\xff\xff", "record 21", str(2**32 - 1))

    def test_a_record_cut_short_says_what_is_there(self):
        self.breaks("length32", length32([b"good"] * 20), b"\x05\0\0\0abc", "record 21 at offset 160", "7 of 9 bytes")
        self.breaks("length32", length32([b"good"] * 20), b"\x05\0\0", "record 21 at offset 160", "3 of 4 bytes")
        self.breaks("varint", varint([b"good"] * 20), b"\x05abc", "record 21 at offset 100", "4 of 6 bytes")
        self.breaks("varint", varint([b"good"] * 20), b"\x80", "record 21 at offset 100", "cut short")
        self.breaks("fixed", b"good" * 20, b"abc", "record 21 at offset 80", "3 of 4 bytes", record_bytes=4)

    def test_a_varint_that_is_none_is_refused(self):
        self.breaks("varint", varint([b"good"] * 20), b"\xff" * 11, "record 21 at offset 100", "varint")
        # Ten bytes whose last one would be shifted out of 64 bits: not a message of length 0.
        self.breaks("varint", varint([b"good"] * 20), b"\x80" * 9 + b"\x02", "record 21 at offset 100", "varint")

    def test_a_whole_input_longer_than_a_slot(self):
        for kind in ("file", "stdin"):
            source, stdin = self.source(kind, "whole", b"x" * (SLOT + 1))
            code, _, err = self.gpuq("run", self.pipeline(source=source, queue={"slot_bytes": SLOT}), stdin=stdin)
            self.assertEqual(code, 65)
            self.assertIn("slot_bytes", err)
            self.assertEqual(self.read(), b"")


harness.main()
