#!/usr/bin/env python3
"""sources.py - messages that are made and not read: by generate, deterministic and at its rate, and by a source plugin."""
import hashlib
import os
import signal
import harness
from harness import lines, ours, until


class Sources(harness.Scenario):
    def generated(self, count, size, *arguments, **more):
        source = {"generate": {"count": count, "bytes": size, **more}}
        summary = self.run_ok(self.pipeline(source=source, sink={"file": {"path": self.out, "join": "raw"}},
                                            queue={"capacity": 256, "slot_bytes": max(size, 1)}), *arguments)
        self.assertEqual((summary["messages_in"], summary["messages_out"], summary["bytes_in"]), (count, count, count * size))
        return self.read()

    def test_a_counter_counts(self):
        for size in (1, 4, 8, 13, 64):
            expected = b"".join((i.to_bytes(8, "little") * 9)[:size] for i in range(3000))
            self.assertEqual(self.generated(3000, size, "--threads", "3"), expected)

    def test_no_messages_and_messages_of_no_bytes(self):
        self.assertEqual(self.generated(0, 8), b"")
        self.assertEqual(self.generated(1000, 0), b"")

    def test_random_follows_from_the_seed(self):
        first = self.generated(5000, 100, pattern="random", seed=7)
        self.assertEqual(self.generated(5000, 100, pattern="random", seed=7), first)
        self.assertEqual(self.generated(100, 100, pattern="random", seed=7), first[:10000])
        self.assertNotEqual(self.generated(5000, 100, pattern="random", seed=8), first)
        self.assertEqual(len({first[i:i + 100] for i in range(0, len(first), 100)}), 5000)
        counts = [first.count(bytes([b])) for b in range(256)]
        self.assertTrue(1500 < min(counts) <= max(counts) < 2500, "not spread over all bytes")

    def test_the_rate_is_kept(self):
        for rate in (500, 20000):
            source = {"generate": {"count": rate * 2, "bytes": 8, "rate": f"{rate}/s"}}
            summary = self.run_ok(self.pipeline(source=source, sink={"null": {}}))
            self.assertGreater(summary["seconds"], 2 * 0.9)
            self.assertLess(summary["seconds"], 2 * 1.2)

    def test_a_rate_of_one_message_in_thousands_of_years_makes_one(self):
        for rate in ("1e-11/s", "1e-300/s"):
            source = {"generate": {"count": 3, "bytes": 8, "rate": rate}}
            process = self.start("run", self.pipeline(source=source, sink={"file": {"path": self.out, "join": "raw"}}))
            self.assertTrue(until(lambda: os.path.exists(self.out) and self.read()))
            process.send_signal(signal.SIGINT)
            code, _, err = self.finish(process)
            self.assertEqual((code, self.read()), (0, bytes(8)), err)
            os.remove(self.out)

    def made(self, count, stages, *arguments, queue=None, **more):
        source = {"plugin": {"path": ours("counter"), "count": count, **more}}
        summary = self.run_ok(self.pipeline(stages, source=source, queue=queue or {"capacity": 64, "slot_bytes": 64}), *arguments)
        self.assertEqual((summary["messages_in"], summary["messages_out"]), (count, count))
        return self.read()

    def test_a_source_plugin_makes_count_messages_from_first_on(self):
        count = 3000 if harness.SANITIZED else 50000
        for first in (0, 1, 99990, 2**63 - 10**6):
            for threads in ("1", "4"):
                got = self.made(count, None, "--threads", threads, first=first)
                self.assertEqual(got, lines(b"%d" % i for i in range(first, first + count)))

    def test_what_it_makes_passes_all_stages(self):
        got = self.made(2000, [{"plugin": ours("upper")}, {"plugin": ours("sha256")}, {"name": "last", "plugin": "builtin:echo"}],
                        "--threads", "3", first=10**6, params={"bytes": 40})
        self.assertEqual(got, lines(hashlib.sha256(b"%040d" % i).hexdigest().encode() for i in range(10**6, 10**6 + 2000)))

    def test_few_or_none_in_the_smallest_queue(self):
        for count in (0, 1, 2, 3):
            self.assertEqual(self.made(count, None, queue={"capacity": 2, "slot_bytes": 32}), lines(b"%d" % i for i in range(count)))

    def test_what_a_stage_drops_makes_room_for_more(self):
        source = {"plugin": {"path": ours("counter"), "count": 5000}}
        stages = [{"plugin": ours("grep"), "params": {"pattern": "99"}}]
        summary = self.run_ok(self.pipeline(stages, source=source, queue={"capacity": 4, "slot_bytes": 32}))
        kept = [b"%d" % i for i in range(5000) if b"99" in b"%d" % i]
        self.assertEqual((self.read(), summary["dropped"]), (lines(kept), 5000 - len(kept)))

    def test_a_source_that_drops_fails_or_overflows(self):
        text = harness.PLUGIN + ("__device__ void generate_message(uint64_t index, ResultView *out)\n{\n"
                                 "if (index % 4 == 1) return gq_drop(out);\nif (index % 4 == 2) return gq_fail(out, 5);\n"
                                 "if (index % 4 == 3) { *out->out_len = out->cap + 1; return; }\nout->out[0] = 'x'; *out->out_len = 1;\n}\n")
        source = {"plugin": {"path": self.write("moody.cu", text), "count": 400}}
        summary = self.run_ok(self.pipeline(source=source))
        self.assertEqual(self.read(), b"x\n" * 100)
        self.assertEqual([summary[k] for k in ("messages_in", "messages_out", "dropped", "failed", "dead")], [400, 100, 100, 200, 200])


harness.main()
