#!/usr/bin/env python3
"""stages.py - messages pass all stages, in order, whatever the number of stages and threads; any stage may drop or fail one."""
import hashlib
import itertools
import random
import harness
from harness import ECHO, lines, ours

RANDOM = random.Random(3)
WORDS = ("lamb", "Lamb", "wolf", "", "a lamb in the grass")
ADD = "if (in.len == 0) return gq_fail(out, 7);" + ECHO + "out->out[0] = (uint8_t)(out->out[0] + GQ_PARAM(step, 1));"


class Stages(harness.Scenario):
    def pass_lines(self, messages, stages, *arguments, **keys):
        source = {"file": {"path": self.write("in", lines(messages)), "split": "lines"}}
        return self.run_ok(self.pipeline(stages, source=source, **keys), *arguments)

    def test_upper_grep_sha256(self):
        messages = [f"{RANDOM.choice(WORDS)} {i}".encode() for i in range(5000)]
        stages = [{"plugin": ours("upper")}, {"plugin": ours("grep"), "params": {"pattern": "LAMB"}},
                  {"plugin": ours("sha256"), "params": {"uppercase": True}}]
        for threads in ("1", "4"):
            kept = [m.upper() for m in messages if b"LAMB" in m.upper()]
            summary = self.pass_lines(messages, stages, "--threads", threads)
            self.assertEqual(self.read(), lines(hashlib.sha256(m).hexdigest().upper().encode() for m in kept))
            self.assertEqual((summary["messages_in"], summary["messages_out"], summary["dropped"], summary["failed"]),
                             (len(messages), len(kept), len(messages) - len(kept), 0))

    def test_sixteen_stages_each_with_its_own_parameter(self):
        self.plugin("add", ADD)
        stages = [{"name": f"s{i}", "plugin": self.path("add.cu"), "params": {"step": 1 << (i % 3)}} for i in range(16)]
        total = sum(1 << (i % 3) for i in range(16))
        messages = [bytes([40 + i % 80]) + b"%d" % i for i in range(3000)]
        self.pass_lines(messages, stages, "--threads", "3", queue={"capacity": 128, "slot_bytes": 64})
        self.assertEqual(self.read(), lines(bytes([m[0] + total]) + m[1:] for m in messages))

    def test_two_hundred_thousand_keep_their_order_with_four_threads(self):
        count = 20000 if harness.SANITIZED else 200000
        messages = [b"%d" % (i * 7919) for i in range(count)]
        for capacity in (8, 4096):
            summary = self.pass_lines(messages, [{"plugin": "builtin:echo"}, {"name": "two", "plugin": ours("echo")}], "--threads", "4",
                                      queue={"capacity": capacity, "slot_bytes": 32})
            self.assertEqual(self.read(), lines(messages))
            self.assertEqual((summary["messages_in"], summary["messages_out"]), (count, count))

    def test_any_stage_may_drop_or_fail(self):
        self.plugin("fate", "if (in.len && in.payload[0] == GQ_PARAM(drop, 0)) return gq_drop(out);"
                            "if (in.len && in.payload[0] == GQ_PARAM(fail, 0)) return gq_fail(out, GQ_PARAM(fail, 0));" + ECHO)
        messages = [bytes([97 + i % 12]) + b"%d" % i for i in range(4000)]
        stages = [{"name": f"s{i}", "plugin": self.path("fate.cu"), "params": {"drop": 97 + i, "fail": 101 + i}} for i in range(4)]
        for threads in ("1", "4"):
            summary = self.pass_lines(messages, stages, "--threads", threads)
            self.assertEqual(self.read(), lines(m for m in messages if m[0] >= 105))
            dropped, failed = sum(m[0] < 101 for m in messages), sum(101 <= m[0] < 105 for m in messages)
            self.assertEqual((summary["dropped"], summary["failed"], summary["dead"]), (dropped, failed, failed))

    def test_a_fate_that_is_chosen_before_a_loop_is_kept(self):
        loops = {"copy": "for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i];",
                 "reverse": "for (uint32_t i = 0; i < in.len; i++) out->out[in.len - 1 - i] = in.payload[i];",
                 "none": "out->out[0] = in.payload[0]; if (in.len > 1) out->out[1] = in.payload[1];"}
        messages = [b"%d%d" % (i % 10, i % 7) for i in range(1000)]
        ends = {"3": "if (in.payload[0] == '3') return gq_drop(out);\n", "4": "if (in.payload[0] == '4') return gq_fail(out, 9);\n"}
        for (name, loop), which in itertools.product(loops.items(), ("3", "4", "34")):
            with self.subTest(loop=name, ends=which):
                self.plugin("fate", "".join(ends[c] for c in which) + loop + " *out->out_len = in.len;")
                summary = self.pass_lines(messages, [{"plugin": self.path("fate.cu")}])
                self.assertEqual((summary["dropped"], summary["failed"]), (100 * ("3" in which), 100 * ("4" in which)))
                kept = [m[::-1] if name == "reverse" else m for m in messages if chr(m[0]) not in which]
                self.assertEqual(self.read(), lines(kept))

    def test_everything_dropped_is_an_empty_output(self):
        self.plugin("none", "gq_drop(out);")
        summary = self.pass_lines([b"x"] * 10000, [{"plugin": self.path("none.cu")}], queue={"capacity": 4, "slot_bytes": 16})
        self.assertEqual((self.read(), summary["dropped"], summary["messages_out"]), (b"", 10000, 0))

    def test_messages_of_very_different_cost_keep_their_order(self):
        self.plugin("spin", "if (in.len && in.payload[0] == '0') for (volatile int i = 0; i < 30000; i = i + 1) continue;" + ECHO)
        messages = [b"%d" % (i * i % 37) for i in range(4000)]
        self.pass_lines(messages, [{"plugin": self.path("spin.cu")}], "--threads", "4", queue={"capacity": 256, "slot_bytes": 16})
        self.assertEqual(self.read(), lines(messages))


harness.main()
