#!/usr/bin/env python3
"""dead_letters.py - what no retry could save is kept, whole, with its reason; and a run that cannot keep it stops."""
import ctypes
import errno
import fcntl
import itertools
import json
import os
import resource
import struct
import subprocess
import time
import harness
from dead_letter_file import records
from harness import ECHO, lines

FAILS = "if (in.len && in.payload[0] == 'f') return gq_fail(out, 4242);" + ECHO
FAILED, TOO_LONG = 1, 2


def without_override():
    """For root, whom no mode of a file keeps out: takes CAP_DAC_OVERRIDE from what comes after."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP


def without_fsync():
    """fsync(2) is an input/output error to what comes after, by a filter of seccomp(2): nr == fsync ? ERRNO(EIO) : ALLOW."""
    fsync = {"x86_64": 74, "aarch64": 82}[os.uname().machine]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in (
        (0x20, 0, 0, 0), (0x15, 0, 1, fsync), (0x06, 0, 0, 0x00050000 | errno.EIO), (0x06, 0, 0, 0x7fff0000))))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, struct.pack("H6xP", 4, ctypes.addressof(program)), 0, 0) != 0:  # PR_SET_SECCOMP
        raise OSError("no filter")


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
                self.assertEqual((r["attempts"], r["class"], r["code"], r["stage"], r["stage_name"]), (retries + 1, FAILED, 4242, 1, b"second"))
                self.assertEqual((r["position"], r["version"], r["flags"]), (r["id"], 1, 0))
                self.assertEqual((r["plugin"].decode(), len(r["digest"])), (self.path("fails.cu"), 64))
                self.assertIn(b"code 4242", r["reason"])
                self.assertTrue(before <= r["first_ns"] <= r["dead_ns"] <= time.time_ns())
            self.assertEqual((summary["failed"], summary["dead"], summary["messages_out"]), (100, 100, 200))
            self.assertEqual(self.read(), lines(m for m in messages if m[:1] != b"f"))

    def test_a_message_that_fails_twice_passes_with_two_retries_and_not_with_one(self):
        tries = ("uint32_t *left = (uint32_t *)gq_state(4); if (*left < 2) { *left += 1; return gq_fail(out, 9); } *left = 0;" + ECHO)
        name = self.plugin("tries", tries, "GQ_STATE(4, 1);\n")
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
            self.assertEqual((record["id"], record["message"], record["class"], record["attempts"], record["stage_name"]),
                             (messages.index(b"f") + 1, b"f", TOO_LONG, 1, b"second"))
            self.assertIn(b"5000 bytes", record["reason"])
            self.assertEqual(self.read(), lines([m for m in messages if m != b"f"]))

    def test_a_length_below_nothing_is_a_dead_letter_and_drops_nothing(self):
        for below in range(1, 4):
            plugin = self.plugin("below", f"*out->out_len = in.len - {below};")
            on_error = {"dead_letter": {"file": {"path": f"{below}.dlq"}}}
            summary = self.run_ok(self.pipeline([{"plugin": plugin}], source=self.source([b"", b"four"]), on_error=on_error))
            (record,) = records(self.read(f"{below}.dlq"))
            self.assertEqual((summary["messages_out"], record["id"], record["class"]), (1, 1, TOO_LONG))
            self.assertIn(b"%d bytes" % (2**32 - below), record["reason"])

    def test_records_are_appended_and_no_file_is_made_without_one(self):
        for _ in range(2):
            self.run_ok(self.failing([b"f1", b"ok"]))
        self.assertEqual([r["message"] for r in records(self.read("out.dlq"))], [b"f1", b"f1"])
        self.run_ok(self.failing([b"ok"], dead="none.dlq"))
        self.assertFalse(os.path.exists(self.path("none.dlq")))

    def test_without_a_place_of_its_own_it_is_named_after_the_pipeline(self):
        self.run_ok(self.pipeline(self.stages(), source=self.source([b"f1"]), name="shipping"))
        self.assertEqual(len(records(self.read("shipping.dlq"))), 1)

    def test_letters_that_are_read_are_not_written_in_a_place_that_nobody_named(self):
        self.run_ok(self.failing([b"f1"], dead="again.dlq"))
        letters = self.read("again.dlq")
        again = self.pipeline(self.stages("return gq_fail(out, 1);"), source={"file": {"path": "again.dlq", "split": "whole"}}, name="again")
        for verb in ("lint", "run"):
            code, out, err = self.gpuq(verb, again)
            self.assertEqual(code, 78, err)
            self.assertRegex(out.decode() + err, "source.file.path: the source and the dead letters are one file: name another")
        self.assertEqual(self.read("again.dlq"), letters)

    def test_a_generated_message_is_named_by_its_id(self):
        source = {"plugin": {"path": harness.ours("counter"), "count": 20, "first": 100}}
        body = "if (in.payload[2] == '7') return gq_fail(out, 1);" + ECHO
        self.run_ok(self.pipeline([{"plugin": self.plugin("seven", body)}], source=source))
        found = records(self.read("pipeline.dlq"))
        self.assertEqual([(r["id"], r["message"], r["position"], r["flags"]) for r in found], [(8, b"", 107, 1), (18, b"", 117, 1)])

    def test_dead_letters_that_cannot_be_written_stop_the_run(self):
        messages = [b"good%d" % i for i in range(50)] + [b"f1"] + [b"more%d" % i for i in range(5000)]
        for place, words in (("/dev/full", "not a regular file"), ("/proc/dead", "dead")):
            code, _, err = self.gpuq("run", self.failing(messages, dead=place, queue={"capacity": 8, "slot_bytes": 64}))
            self.assertEqual(code, 74, err)
            self.assertIn(place, err)
            self.assertIn(words, err)
            if "messages " in err:
                self.assert_adds_up(err)
            if place == "/dev/full":
                self.assertFalse(os.path.exists(self.out), "it is found out before a message is read")
            else:
                self.assertEqual(self.read()[:len(lines(messages[:50]))], lines(messages[:50]))
                self.assertNotIn(b"f1", self.read())

    def test_a_default_place_that_cannot_be_written_is_told_at_the_start(self):
        os.mkdir(self.path("closed"))
        file = self.path("closed/p.yaml")
        os.rename(self.pipeline(self.stages(), source=self.source([b"ok", b"f1"]), name="p"), file)
        said = f"dead letters go to {self.path('closed/p.dlq')}, which cannot be made (Permission denied): name another file in on_error.dead_letter.file.path"
        os.chmod(self.path("closed"), 0o500)
        code, _, err = self.gpuq("run", file, preexec_fn=without_override)
        self.assertEqual(code, 74, err)
        self.assertEqual(err.splitlines()[0], f"gpuq run: note: {said}; the first message that fails ends the run")
        self.assertIn(f"gpuq run: {said}\n", err)
        self.source([b"ok"])
        code, _, err = self.gpuq("run", "--quiet", file, preexec_fn=without_override)
        self.assertEqual((code, err.count("\n")), (0, 1), err)
        self.write("closed/p.dlq", b"")
        os.chmod(self.path("closed/p.dlq"), 0o400)
        code, _, err = self.gpuq("run", "--quiet", file, preexec_fn=without_override)
        self.assertEqual((code, err), (74, f"gpuq run: {said.replace('made', 'written')}\n"))

    # --- a file that is full, damaged, torn, another's or another thing -------------------------------------------------

    def test_a_full_file_stops_the_run_and_keeps_what_it_has(self):
        messages = [b"f" + b"x" * 500] * 20 + [b"good"]
        path = self.failing(messages, dead="out.dlq", queue={"capacity": 4, "slot_bytes": 1024})
        text = self.read("pipeline.yaml").replace(b'"path": "out.dlq"', b'"path": "out.dlq", "max_bytes": "4KiB"')
        self.write("pipeline.yaml", text)
        code, _, err = self.gpuq("run", path)
        self.assertEqual(code, 74, err)
        self.assertIn("the dead letters are full", err)
        self.assertIn("4096", err)
        kept = records(self.read("out.dlq"))
        self.assertIn(f"; {len(kept)} in the dead letters", err)
        self.assertEqual([r["position"] for r in kept], list(range(1, len(kept) + 1)))
        self.assertTrue(0 < len(kept) < 20 and len(self.read("out.dlq")) <= 4096)
        self.assertEqual(self.read(), b"", "nothing behind a message that is not kept came out")

    def test_a_torn_tail_is_shown_and_cut_and_damage_is_refused(self):
        pipeline = self.failing([b"f1", b"f2"])
        self.run_ok(pipeline)
        whole = self.read("out.dlq")
        end = len(whole) - 100
        for tail in (whole[-100:-1], b"\0" * 5000, whole[32:52], b"GQ"):
            self.write("out.dlq", whole + tail if tail != whole[-100:-1] else whole[:-1])
            code, out, err = self.gpuq("dlq", "ls", "--json", self.path("out.dlq"))
            self.assertEqual((code, bool(json.loads(out)["torn_bytes"])), (0, True), err)
            self.assertIn("no whole letter", err)
            code, _, err = self.gpuq("run", pipeline)
            self.assertEqual(code, 0, err)
            self.assertIn("cut off", err)
            first = [b"f1"] if tail == whole[-100:-1] else [b"f1", b"f2"]
            self.assertEqual([r["message"] for r in records(self.read("out.dlq"))], first + [b"f1", b"f2"])
        self.write("out.dlq", whole[:90] + b"?" + whole[91:])
        for command in (("run", pipeline), ("dlq", "ls", self.path("out.dlq")), ("dlq", "drop", self.path("out.dlq"), "--all")):
            code, _, err = self.gpuq(*command)
            self.assertEqual(code, 65, err)
            self.assertIn("damaged at byte 32", err)
        self.assertEqual(len(self.read("out.dlq")), len(whole))
        self.assertGreater(end, 0)

    def test_json_is_whole_when_a_file_is_missing_or_damaged(self):
        self.run_ok(self.failing([b"f1", b"f2"]))
        whole = self.read("out.dlq")
        self.write("damaged.dlq", whole[:-10] + b"?" + whole[-9:] + whole[32:])
        for name, arguments, expected, count in (("none.dlq", ("ls",), 74, None), ("damaged.dlq", ("ls",), 65, 1),
                                                 ("none.dlq", ("show", "1"), 74, None)):
            code, out, err = self.gpuq("dlq", *arguments[:1], "--json", self.path(name), *arguments[1:])
            answer = json.loads(out)
            self.assertEqual((code, answer["exit_code"], answer["error"] in err), (expected, expected, True), err)
            self.assertEqual(len(answer["letters"]) if count else None, count, out)

    def test_another_kind_of_file_a_later_version_and_a_link_are_refused_before_a_message_is_read(self):
        pipeline = self.failing([b"ok"], dead="x")
        self.run_ok(self.failing([b"f1"], name="first"))
        whole = self.read("out.dlq")
        for content, code, words in ((b"{}\n" * 20, 65, "no file of dead letters"), (whole[:8] + b"\2" + whole[9:], 65, "version 2")):
            self.write("x", content)
            got, _, err = self.gpuq("run", pipeline)
            self.assertEqual(got, code, err)
            self.assertIn(words, err)
            self.assertEqual(self.read("x"), content)
        os.unlink(self.path("x"))
        os.symlink("out.dlq", self.path("x"))
        got, _, err = self.gpuq("run", pipeline)
        self.assertEqual(got, 74, err)
        self.assertIn("symbolic link", err)

    def test_two_writers_are_refused(self):
        self.run_ok(self.failing([b"f1"]))
        with open(self.path("out.dlq"), "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for command in (("run", self.failing([b"ok"])), ("dlq", "drop", self.path("out.dlq"), "--all")):
                code, _, err = self.gpuq(*command)
                self.assertEqual(code, 74, err)
                self.assertIn("another pipeline or command", err)
            self.assertEqual(self.gpuq("dlq", "ls", self.path("out.dlq"))[0], 0)
        self.run_ok(self.failing([b"ok"]))

    # --- gpuq dlq ---------------------------------------------------------------------------------------------------------

    def dlq(self, *arguments, code=0):
        got, out, err = self.gpuq("dlq", *arguments)
        self.assertEqual(got, code, err)
        return out

    def letters(self):
        return json.loads(self.dlq("ls", "--json", self.path("out.dlq")))["letters"]

    def test_letters_are_listed_shown_and_dropped_by_number_and_by_name(self):
        messages = [b"f\xff\x1b[2J", b"f2", b"f3"]
        self.run_ok(self.failing(messages))
        file = self.path("out.dlq")
        found = self.letters()
        self.assertEqual([(r["number"], r["id"], r["class"], r["code"], r["bytes"]) for r in found],
                         [(1, 1, "failed", 4242, 6), (2, 2, "failed", 4242, 2), (3, 3, "failed", 4242, 2)])
        self.assertEqual([r["letter"] for r in found], [r["name"] for r in records(self.read("out.dlq"))])
        self.assertEqual(self.dlq("show", file, "1", "--raw"), messages[0])
        self.assertEqual(bytes.fromhex(json.loads(self.dlq("show", "--json", file, found[0]["letter"]))["message_hex"]), messages[0])
        self.assertNotIn(b"\x1b", self.dlq("ls", file) + self.dlq("show", file, "1"))
        self.dlq("drop", file, "2", "9", code=1)
        self.assertEqual(len(self.letters()), 3)
        os.chmod(file, 0o604)
        self.dlq("drop", file, "2")
        self.assertEqual(os.stat(file).st_mode & 0o7777, 0o604, "the new file has the old one's mode")
        self.dlq("drop", file, found[2]["letter"])
        self.assertEqual([r["letter"] for r in self.letters()], [found[0]["letter"]])
        self.dlq("drop", file, "--all")
        self.assertEqual(self.letters(), [])
        for wrong in (("drop", file), ("show", file), ("ls",), ("show", file, "x"), ("ls", "--raw", file), ("eat", file), ()):
            self.dlq(*wrong, code=64)
        self.run_ok(self.failing([b"f9"]))
        self.assertEqual([r["message"] for r in records(self.read("out.dlq"))], [b"f9"])

    def test_what_a_verb_takes_is_said_and_a_missing_file_in_the_same_words_by_each(self):
        pipeline, none = self.failing([b"f1"]), self.path("none")
        self.run_ok(pipeline)
        file = self.path("out.dlq")
        for words, said in ((("ls", file, "1"), "ls takes one file of dead letters;"),
                            (("ls",), "ls takes one file of dead letters;"),
                            (("show", file), "show takes a file of dead letters and one letter of it;"),
                            (("show", file, "1", "2"), "show takes a file of dead letters and one letter of it;"),
                            (("show", file, "1", "--raw", "--json"), "show takes --json or --raw, not both"),
                            (("replay", file), "replay takes a file of dead letters and a pipeline file;"),
                            (("drop",), "drop takes a file of dead letters;"),
                            (("drop", file), "drop takes the letters to drop, or --all")):
            code, _, err = self.gpuq("dlq", *words)
            self.assertEqual(code, 64, err)
            self.assertIn(f"gpuq dlq: {said}", err)
        for words in (("ls", none), ("show", none, "1"), ("replay", none, pipeline), ("drop", none, "--all")):
            code, _, err = self.gpuq("dlq", *words)
            self.assertEqual((code, err), (74, f"gpuq dlq: {none}: No such file or directory\n"))
            self.assertFalse(os.path.exists(none))

    def test_a_reader_that_left_gets_no_sentence_and_a_full_disk_one(self):
        self.run_ok(self.failing([b"f1", b"f2"]))
        file = self.path("out.dlq")
        for words in (("ls", file), ("ls", "--json", file), ("show", "--raw", file, "1"), ("show", "--json", file, "1"), ("show", file, "1")):
            reading, writing = os.pipe()
            os.close(reading)
            with open(writing, "wb") as closed:
                self.assertEqual(self.gpuq("dlq", *words, stdout=closed), (74, None, ""), words)
            with open("/dev/full", "wb") as full:
                self.assertEqual(self.gpuq("dlq", *words, stdout=full),
                                 (74, None, "gpuq: writing to standard output failed: No space left on device\n"), words)

    def test_letters_that_filled_the_disk_can_be_dropped(self):
        self.run_ok(self.failing([b"f1", b"f2", b"f3"]))
        file, before = self.path("out.dlq"), self.read("out.dlq")
        # No file takes a byte more; Python leaves the signal for that to be ignored.
        full = {"restore_signals": False, "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))}
        code, _, err = self.finish(self.start("dlq", "drop", file, "2", **full))
        self.assertEqual(code, 74, err)
        self.assertRegex(err, rf"gpuq dlq: {file}: the letters that stay are written to a new file beside it first, and that failed: .*: "
                         rf"File too large.*; the letters are as they were: make room, or let all of them go with `gpuq dlq drop {file} --all`")
        self.assertEqual(self.read("out.dlq"), before)
        code, _, err = self.finish(self.start("dlq", "drop", file, "--all", **full))
        self.assertEqual((code, err), (0, "dropped 3 letters, 0 stay\n"))
        self.assertEqual(self.letters(), [])
        self.assertEqual([name for name in os.listdir(self.folder) if "dlq" in name], ["out.dlq"])
        self.run_ok(self.failing([b"f9"]))
        self.assertEqual([r["message"] for r in records(self.read("out.dlq"))], [b"f9"])

    def test_a_replay_keeps_what_fails_again_and_counts_its_attempts(self):
        self.run_ok(self.failing([b"f1", b"f2", b"fdrop", b"f4"], retries=1))
        body = "if (in.len == 2 && in.payload[1] == '2') return gq_fail(out, 7); if (in.len == 5) return gq_drop(out);" + ECHO
        self.plugin("mended", body)
        self.write("live", b"untouched")
        mended = self.pipeline([{"name": "better", "plugin": self.path("mended.cu")}], name="mended", on_error={"retries": 2},
                               sink={"file": {"path": self.path("live"), "join": "length32"}})
        began = time.time_ns()
        out = self.dlq("replay", self.path("out.dlq"), mended, code=1)
        self.assertEqual(out, harness.length32([b"f1", b"f4"]))
        self.assertEqual(self.read("live"), b"untouched")
        (left,) = records(self.read("out.dlq"))
        self.assertEqual((left["message"], left["attempts"], left["code"], left["stage_name"], left["id"]), (b"f2", 2 + 3, 7, b"better", 2))
        self.assertEqual(left["position"], 2)
        self.assertTrue(left["first_ns"] < began <= left["dead_ns"])
        echo = self.pipeline(name="echo")
        self.dlq("replay", self.path("out.dlq"), echo, "2", code=1)
        self.assertEqual(self.dlq("replay", self.path("out.dlq"), echo, "1"), b"f2\n")
        self.assertEqual(records(self.read("out.dlq")), [])
        self.assertEqual(self.gpuq("dlq", "replay", self.path("out.dlq"), echo),
                         (0, b"", f"{self.path('out.dlq')} has no letters: nothing was replayed\n"))

    def test_the_copy_that_a_killed_drop_left_is_the_next_ones(self):
        self.run_ok(self.failing([b"f1", b"f2", b"f3"]))
        self.write("out.dlq.new", b"half a copy" * 100000)
        self.dlq("drop", self.path("out.dlq"), "2")
        self.assertEqual([r["message"] for r in records(self.read("out.dlq"))], [b"f1", b"f3"])
        self.assertEqual([name for name in os.listdir(self.folder) if "dlq" in name], ["out.dlq"])
        self.write("other", b"not to be touched")
        os.symlink(self.path("other"), self.path("out.dlq.new"))
        code, _, err = self.gpuq("dlq", "drop", self.path("out.dlq"), "1")
        self.assertEqual(code, 74, err)
        self.assertIn("out.dlq.new: Too many levels of symbolic links; the letters are as they were", err)
        self.assertEqual(self.read("other"), b"not to be touched")
        self.assertEqual(len(records(self.read("out.dlq"))), 2)

    def test_another_ones_file_beside_it_is_left_alone(self):
        self.run_ok(self.failing([b"f1", b"f2"]))
        with open(self.path("out.dlq.new"), "wb") as theirs:
            theirs.write(b"theirs")
            theirs.flush()
            fcntl.flock(theirs, fcntl.LOCK_EX)
            code, _, err = self.gpuq("dlq", "drop", self.path("out.dlq"), "1")
        self.assertNotEqual(code, 0, err)
        self.assertEqual(self.read("out.dlq.new"), b"theirs")
        self.assertEqual(len(records(self.read("out.dlq"))), 2)

    def test_what_became_of_letters_is_told_in_json(self):
        self.run_ok(self.failing([b"f1", b"f2", b"f" + b"x" * 50, b"f4"]))
        names = [r["letter"] for r in self.letters()]
        self.plugin("mended", "if (in.payload[1] == '2') return gq_fail(out, 7);" + ECHO)
        mended = self.pipeline([{"name": "better", "plugin": self.path("mended.cu")}], name="mended", queue={"slot_bytes": 16})
        code, out, err = self.gpuq("dlq", "replay", "--json", self.path("out.dlq"), mended)
        said = json.loads(err)
        self.assertEqual((code, out), (1, b"f1\nf4\n"))
        self.assertEqual([(r["number"], r["letter"], r["fate"]) for r in said["letters"]],
                         list(zip((1, 2, 3, 4), names, ("passed", "failed", "not tried", "passed"))))
        self.assertEqual([r.get("reason") for r in said["letters"]], [None, self.letters()[0]["reason"], None, None])
        self.assertEqual([said[key] for key in ("file", "passed", "failed", "not_tried", "status", "exit_code")],
                         [self.path("out.dlq"), 2, 1, 1, "GQ_ERR_DEVICE", 1])
        self.assertRegex(said["error"], "letters stay: those that failed have a new reason in `gpuq dlq ls`; those not tried have no bytes")
        names = [r["letter"] for r in self.letters()]
        code, _, err = self.gpuq("dlq", "replay", self.path("out.dlq"), mended, "1")
        self.assertEqual(code, 1)
        self.assertNotIn("not tried have", err)
        names[0] = self.letters()[0]["letter"]
        self.assertEqual(json.loads(self.dlq("drop", "--json", self.path("out.dlq"), "2")),
                         {"file": self.path("out.dlq"), "letters": [{"number": 2, "letter": names[1], "fate": "dropped"}], "dropped": 1, "kept": 1})
        self.assertEqual(json.loads(self.dlq("drop", "--json", self.path("out.dlq"), "7", code=1))["status"], "GQ_ERR_NOT_FOUND")
        self.assertEqual(len(json.loads(self.dlq("drop", "--json", "--all", self.path("out.dlq")))["letters"]), 1)
        self.assertEqual(json.loads(self.dlq("drop", "--json", "--all", self.path("out.dlq"))),
                         {"file": self.path("out.dlq"), "letters": [], "dropped": 0, "kept": 0})
        code, _, err = self.gpuq("dlq", "replay", "--json", self.path("out.dlq"), mended)
        self.assertEqual((code, json.loads(err)["letters"]), (0, []))

    def test_a_replay_through_the_pipeline_of_an_application_leaves_its_journal_alone(self):
        self.run_ok(self.failing([b"f1", b"f2"]))
        api = self.pipeline(name="api", source={"api": {}}, sink={"api": {}}, queue={"journal": self.path("journal"), "durability": "memory"})
        self.assertEqual(self.dlq("replay", self.path("out.dlq"), api, "1"), b"f1\n")
        self.assertFalse(os.path.exists(self.path("journal")))
        self.write("journal", b"as the application left it")
        self.assertEqual(self.dlq("replay", self.path("out.dlq"), api), b"f2\n")
        self.assertEqual(self.read("journal"), b"as the application left it")

    def test_a_letter_that_has_no_room_in_a_slot_stays(self):
        self.run_ok(self.failing([b"f1", b"f" + b"x" * 50, b"f3"]))
        self.assertEqual(self.dlq("replay", self.path("out.dlq"), self.pipeline(name="narrow", queue={"slot_bytes": 16}), code=1), b"f1\nf3\n")
        self.assertEqual([r["message"] for r in records(self.read("out.dlq"))], [b"f" + b"x" * 50])

    def test_a_replay_that_cannot_write_or_is_killed_by_a_letter_loses_none(self):
        self.run_ok(self.failing([b"f%d" % i for i in range(50)]))
        before = self.read("out.dlq")
        with open("/dev/full", "wb") as full:
            code, _, err = self.finish(self.start("dlq", "replay", self.path("out.dlq"), self.pipeline(name="echo"), stdout=full))
        self.assertEqual(code, 74, err)
        self.assertEqual(self.read("out.dlq"), before)
        crash = self.pipeline([{"plugin": self.plugin("crash", "if (in.len == 3 && in.payload[2] == '7') __trap();" + ECHO)}], name="crash")
        code, out, err = self.gpuq("dlq", "replay", self.path("out.dlq"), crash)
        self.assertEqual(code, 1, err)
        left = [r["message"] for r in records(self.read("out.dlq"))]
        self.assertIn(b"f17", left)
        self.assertEqual(sorted(left + out.splitlines()), sorted(b"f%d" % i for i in range(50)))

    def test_a_replay_keeps_its_letters_until_what_came_of_them_is_on_the_disk(self):
        self.run_ok(self.failing([b"f1", b"f2"]))
        before = self.read("out.dlq")
        with open(self.path("replayed"), "wb") as out:
            try:
                replay = self.start("dlq", "replay", self.path("out.dlq"), self.pipeline(name="echo"), stdout=out, preexec_fn=without_fsync)
            except subprocess.SubprocessError:
                self.skipTest("this kernel has no filters of system calls")
        code, _, err = self.finish(replay)
        self.assertEqual((code, err), (74, "gpuq dlq: standard output: Input/output error\n"))
        self.assertEqual(self.read("out.dlq"), before)
        self.assertEqual(self.read("replayed"), b"f1\nf2\n")

    def test_a_replay_whose_output_fails_in_the_middle_loses_none(self):
        self.run_ok(self.failing([b"f%0500d" % i for i in range(1500)]))  # results for some buffers of the sink
        before = self.read("out.dlq")
        with open("/dev/full", "wb") as full:
            code, _, err = self.finish(self.start("dlq", "replay", self.path("out.dlq"), self.pipeline(name="echo"), stdout=full))
        self.assertEqual(code, 74, err)
        self.assertRegex(err, "^gpuq dlq: standard output: writing .* bytes: No space left on device\n$")
        self.assertEqual(self.read("out.dlq"), before)

    def test_a_replay_into_the_file_of_the_letters_is_refused(self):
        self.run_ok(self.failing([b"f1", b"f2"]))
        file, before = self.path("out.dlq"), self.read("out.dlq")
        with open(file, "ab") as itself:
            code, _, err = self.finish(self.start("dlq", "replay", file, self.pipeline(name="echo"), stdout=itself))
        self.assertEqual((code, err), (64, f"gpuq dlq: {file}: the dead letters and standard output are one file: "
                                           "write the results to another\n"))
        self.assertEqual(self.read("out.dlq"), before)

    @harness.only_on("cpu", "device code has no files")
    def test_a_letter_that_was_held_when_no_worker_was_left_stays(self):
        self.run_ok(self.failing([b"f%d" % i for i in range(50)]))
        stages = [{"plugin": self.holding("in.payload[1] == '0'"), "timeout": "off"}]
        pipeline = self.pipeline(stages, name="holds", cpu={"threads": 2})
        code, out, err = self.without_worker("dlq", "replay", self.path("out.dlq"), pipeline)
        self.assertEqual(code, 69, err)
        self.assertIn("gpuq-worker cannot be executed", err)
        left = [r["message"] for r in records(self.read("out.dlq"))]
        self.assertIn(b"f0", left)
        self.assertEqual(sorted(left + out.splitlines()), sorted(b"f%d" % i for i in range(50)))

    def test_a_generated_letter_stays_and_says_why(self):
        source = {"plugin": {"path": harness.ours("counter"), "count": 20, "first": 100}}
        pipeline = self.pipeline([{"plugin": self.plugin("seven", "if (in.payload[2] == '7') return gq_fail(out, 1);" + ECHO)}], source=source)
        self.run_ok(pipeline)
        file = self.path("pipeline.dlq")
        self.dlq("show", file, "1", "--raw", code=1)
        self.assertEqual(self.dlq("replay", file, self.pipeline(name="echo"), code=1), b"")
        self.assertEqual(len(records(self.read("pipeline.dlq"))), 2)


harness.main()
