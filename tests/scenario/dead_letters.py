#!/usr/bin/env python3
"""dead_letters.py - what no retry could save is kept, whole, with its reason; and a run that cannot keep it stops."""
import itertools
import os
import time
import harness
from dead_letter_file import records
from harness import ECHO, lines

FAILS = "if (in.len && in.payload[0] == 'f') return gq_fail(out, 4242);" + ECHO


class DeadLetters(harness.Scenario):
    def stages(self, body=FAILS):
        return [{"plugin": "builtin:echo"}, {"name": "second", "plugin": self.plugin("fails", body)}, {"name": "last", "plugin": "builtin:echo"}]

    def source(self, messages):
        return {"file": {"path": self.write("in", lines(messages)), "split": "lines"}}

    def failing(self, messages, retries=3, dead="out.dlq", **keys):
        on_error = {"retries": retries, "dead_letter": {"file": {"path": dead}}}
        return self.pipeline(self.stages(), source=self.source(messages), on_error=on_error, **keys)

    def test_a_record_says_what_failed_where_and_how_often(self):
        messages = [b"f%d" % i if i % 3 == 0 else b"good%d" % i for i in range(300)]
        for retries in (0, 3):
            before = time.time_ns()
            summary = self.run_ok(self.failing(messages, retries, dead=f"{retries}.dlq"), "--threads", "1")
            failed = [i for i, m in enumerate(messages) if m[:1] == b"f"]
            found = records(self.read(f"{retries}.dlq"))
            self.assertEqual([(r["id"], r["message"]) for r in found], [(i + 1, messages[i]) for i in failed])
            for r in found:
                self.assertEqual((r["attempts"], r["status"], r["code"], r["stage"], r["stage_name"]), (retries + 1, 2, 4242, 1, b"second"))
                self.assertEqual((r["plugin"].decode(), len(r["digest"])), (self.path("fails.cu"), 64))
                self.assertIn(b"code 4242", r["reason"])
                self.assertTrue(before <= r["unix_ns"] <= time.time_ns())
            self.assertEqual((summary["failed"], summary["dead"], summary["messages_out"]), (100, 100, 200))
            self.assertEqual(self.read(), lines(m for m in messages if m[:1] != b"f"))

    def test_a_message_that_fails_twice_passes_with_two_retries_and_not_with_one(self):
        tries = ("uint32_t *left = (uint32_t *)gq_state(4); if (*left < 2) { *left += 1; return gq_fail(out, 9); } *left = 0;" + ECHO)
        name = self.write("tries.cu", harness.PLUGIN + "GQ_STATE(4, 1);\n__device__ void process_message(const MsgView &in, "
                          "ResultView *out)\n{\n" + tries + "\n}\n")
        # The state is one for all messages, and the threads of a GPU would count each other's attempts.
        good = [b"a", b"b", b"c"] if harness.BACKEND == "cpu" else [b"a"]
        for retries, out in ((2, lines(good)), (1, b"")):
            on_error = {"retries": retries, "dead_letter": {"file": {"path": "tries.dlq"}}}
            summary = self.run_ok(self.pipeline([{"plugin": name}], source=self.source(good if out else [b"a"]), on_error=on_error),
                                  "--threads", "1")
            self.assertEqual((self.read(), summary["failed"]), (out, 0 if out else 1))
        self.assertEqual([r["attempts"] for r in records(self.read("tries.dlq"))], [2])

    def test_a_result_longer_than_a_slot_is_a_dead_letter_in_any_stage(self):
        too_long = "if (in.payload[0] == 'f') { *out->out_len = 5000; return; }" + ECHO
        for count, messages in itertools.product((2, 3), ([b"a", b"f", b"b"], [b"f"])):
            on_error = {"dead_letter": {"file": {"path": f"{count}-{len(messages)}.dlq"}}}
            self.run_ok(self.pipeline(self.stages(too_long)[:count], source=self.source(messages), on_error=on_error))
            (record,) = records(self.read(f"{count}-{len(messages)}.dlq"))
            self.assertEqual((record["id"], record["message"], record["status"], record["attempts"], record["stage_name"]),
                             (messages.index(b"f") + 1, b"f", 3, 1, b"second"))
            self.assertIn(b"5000 bytes", record["reason"])
            self.assertEqual(self.read(), lines([m for m in messages if m != b"f"]))

    def test_records_are_appended_and_no_file_is_made_without_one(self):
        for _ in range(2):
            self.run_ok(self.failing([b"f1", b"ok"]))
        self.assertEqual([r["message"] for r in records(self.read("out.dlq"))], [b"f1", b"f1"])
        self.run_ok(self.failing([b"ok"], dead="none.dlq"))
        self.assertFalse(os.path.exists(self.path("none.dlq")))

    def test_without_a_place_of_its_own_it_is_named_after_the_pipeline(self):
        self.run_ok(self.pipeline(self.stages(), source=self.source([b"f1"]), name="shipping"))
        self.assertEqual(len(records(self.read("shipping.dlq"))), 1)

    def test_a_generated_message_is_named_by_its_id(self):
        source = {"plugin": {"path": harness.ours("counter"), "count": 20, "first": 100}}
        body = "if (in.payload[2] == '7') return gq_fail(out, 1);" + ECHO
        self.run_ok(self.pipeline([{"plugin": self.plugin("seven", body)}], source=source))
        self.assertEqual([(r["id"], r["message"]) for r in records(self.read("pipeline.dlq"))], [(8, b""), (18, b"")])

    def test_dead_letters_that_cannot_be_written_stop_the_run(self):
        messages = [b"good%d" % i for i in range(50)] + [b"f1"] + [b"more%d" % i for i in range(5000)]
        for place, words in (("/dev/full", "No space left"), ("/proc/dead", "dead")):
            code, _, err = self.gpuq("run", self.failing(messages, dead=place, queue={"capacity": 8, "slot_bytes": 64}))
            self.assertEqual(code, 74, err)
            self.assertIn(place, err)
            self.assertIn(words, err)
            if "messages " in err:
                self.assert_adds_up(err)
            self.assertEqual(self.read()[:len(lines(messages[:50]))], lines(messages[:50]))
            self.assertNotIn(b"f1", self.read())


harness.main()
