#!/usr/bin/env python3
"""control.py - gpuq plugins, swap, rollback, use, discard, reload and stats against a running pipeline: what they change, what
they print, how they refuse, and what is left on the log."""
import json
import os
import re
import signal
import time
import harness
from harness import until
from operated import Operated

COMMANDS = ("plugins", "swap", "rollback", "use", "discard", "reload", "stats")
ROUNDS = 6 if harness.BACKEND == "cpu" else 2  # a device takes its time after each fault


class Commands(Operated):
    def setUp(self):
        super().setUp()
        self.a, self.b = self.letter("a", "a"), self.letter("b", "b")
        self.file = self.pipeline([{"plugin": self.a}], source=self.SOURCE)

    def test_plugins_lists_what_serves(self):
        run = self.running(self.file)
        self.assertTrue(self.last_letters("a"))
        v = self.live()
        self.assertEqual((v["stage"], v["version"], v["state"], v["plugin"], v["generation"]), ("a", 1, "live", self.a, 1))
        self.assertRegex(v["digest"], r"^[0-9a-f]{12}$")
        self.assertRegex(v["loaded_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertTrue(until(lambda: self.live()["messages"] > 0))
        code, out, err = self.gpuq("plugins")
        self.assertEqual((code, err), (0, ""))
        head, row = out.decode().splitlines()
        self.assertEqual(head.split(), "STAGE VERSION DIGEST STATE LOADED AT MESSAGES FAILED IN FLIGHT P99 GOLDENS PLUGIN".split())
        self.assertRegex(row, rf"^a +1  {v['digest']}  live ")
        self.stop(run)

    def test_code_that_ends_its_worker_all_the_time_is_replaced_at_once(self):
        bad = self.plugin("bad", "if (in.msg_id % 10 == 3) *(volatile int *)64 = 1; out->out[0] = 'b'; *out->out_len = 1;")
        run = self.running(self.pipeline([{"plugin": self.a}], source=self.SOURCE))
        for way in (("swap", "a", self.a), ("rollback", "a"), ("use", "a", "1")) * ROUNDS:
            self.assertEqual(self.gpuq("swap", "--rehearse", "off", "a", bad)[0], 0)
            self.assertTrue(until(lambda: any("takes over" in line for line in self.said[run.pid])))
            code, out, err = self.gpuq(*way)
            self.assertEqual(code, 0, (way, out, err))
            self.assertEqual(self.live()["plugin"], self.a, way)
            self.assertTrue(self.last_letters("a"))
            self.said[run.pid].clear()
        self.stop(run)

    def test_a_row_is_one_line_whatever_a_file_is_called(self):
        run = self.running(self.pipeline([{"name": "a", "plugin": self.letter("odd\n\x1b\x7f\u009bname", "a")}], source=self.SOURCE))
        code, out, err = self.gpuq("plugins")
        self.assertEqual((code, err), (0, ""))
        _, row = out.decode().splitlines()
        self.assertTrue(row.endswith("/odd\\x0a\\x1b\\x7f\\x9bname.cu"), row)
        self.assertIn(b"/odd\\u000a\\u001b\\u007f\\u009bname.cu", self.gpuq("plugins", "--json")[1])
        self.stop(run)

    def test_nothing_is_said_to_serve_on_when_the_worker_is_gone(self):
        head = "GQ_STATE(8, {0});\n"
        old = self.letter("old", "o", head.format(1))
        new = self.letter("new", "n", head.format(2) + "__device__ void gq_migrate(const void *, uint32_t, uint32_t, void *)\n"
                                                       "{ *(volatile int *)64 = 1; }\n")
        run = self.running(self.pipeline([{"plugin": old}], source=self.SOURCE))
        code, _, err = self.gpuq("swap", "old", new)
        self.assertEqual(code, 1, err)
        self.assertIn("gpuq swap: failed at step ", err)
        self.assertNotIn("serves on", err)
        size = len(self.read())  # another worker serves, with the code that was live
        self.assertTrue(until(lambda: len(self.read()) > size + 20))
        self.assertEqual(set(self.read().split()), {b"o"})
        self.stop(run)

    def test_a_migration_that_ends_its_worker_is_refused_also_where_the_next_worker_has_nothing_to_migrate(self):
        head = "GQ_STATE(8, {0});\n"
        old = self.plugin("old", "*(unsigned *)gq_state(8) = 1; out->out[0] = 'o'; *out->out_len = 1;", head.format(1))
        new = self.letter("new", "n", head.format(2) + "__device__ void gq_migrate(const void *was, uint32_t, uint32_t, void *)\n"
                                                       "{ if (*(const volatile unsigned *)was) *(volatile int *)64 = 1; }\n")
        run = self.running(self.pipeline([{"plugin": old}], source=self.SOURCE))
        for _ in range(6):  # more than workers may end in a row without a message
            size = len(self.read()) if os.path.exists(self.out) else 0
            self.assertTrue(until(lambda: os.path.exists(self.out) and len(self.read()) > size + 20))  # pylint: disable=cell-var-from-loop
            code, _, err = self.gpuq("swap", "old", new)
            self.assertEqual(code, 1, err)
            self.assertIn("gpuq swap: failed at step ", err)
        self.assertEqual(set(self.read().split()), {b"o"})
        self.stop(run)

    def test_a_swap_makes_new_code_live(self):
        run = self.running(self.file)
        self.assertTrue(self.last_letters("a"))
        code, out, err = self.gpuq("swap", "a", self.b)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out.decode(), r"\Aa: version 2 is live \(generation 2, digest [0-9a-f]{12}\)\n"
                         r"  build [\d.]+ [mun]s.*, rehearse [\d.]+ [mun]s \(0 golden vectors\), park [\d.]+ [mun]s, load [\d.]+ [mun]s,"
                         r" launch [\d.]+ [mun]s; [\d.]+ [mun]s in all\n\Z")
        self.assertTrue(self.last_letters("b"))
        self.assertEqual(re.sub(r"a\n", "", self.read().decode()).replace("b\n", ""), "")  # nothing but a and b
        self.assertRegex(self.read().decode(), r"\A(a\n)+(b\n)+\Z")  # and all a before all b
        states = {v["version"]: v["state"] for v in self.ask("plugins")["versions"]}
        self.assertEqual(states, {1: "warm", 2: "live"})
        line, = self.audit(run, command="swap")
        self.assertEqual((line["by"], line["uid"], line["stage"], line["file"], line["version"], line["outcome"], line["step"],
                          line["generation"]), ("socket", os.getuid(), "a", self.b, 2, "live", "done", 2))
        self.assertEqual(line["digest"], self.live()["digest"])
        self.stop(run)

    def test_what_is_live_already_is_no_change(self):
        run = self.running(self.file)
        code, out, _ = self.gpuq("swap", "a")
        self.assertEqual((code, out), (0, b"a: version 1 is live already; nothing changed\n"))
        self.assertEqual(self.audit(run, command="swap")[0]["outcome"], "unchanged")
        self.assertEqual(self.gpuq("reload")[:2], (0, b"nothing differs from what runs\n"))
        asking = self.connect(run)
        asking.sendall(b"swap stage=a\n")
        self.assertEqual(self.answer(asking)[0][1]["status"], "GQ_OK")
        self.assertEqual(self.audit(run, 2, command="swap")[1]["pid"], os.getpid())
        self.stop(run)

    def test_a_plugin_that_does_not_compile_is_refused_at_its_line(self):
        run = self.running(self.file)
        wrong = self.write("wrong.cu", harness.PLUGIN + "__device__ void process_message(const MsgView &in, ResultView *out)\n{ in.wrong; }\n")
        code, out, err = self.gpuq("swap", "a", wrong)
        self.assertEqual((code, out), (65, b""))
        self.assertIn("gpuq swap: refused at step build; version 1 of a serves on\n", err)
        self.assertEqual(err.count(f"{wrong}:3:"), 1, err)
        answer = self.ask("swap", "a", wrong, code=65)
        self.assertEqual((answer["status"], answer["step"], answer["live"], answer["generation"]), ("GQ_ERR_PLUGIN", "build", 1, 0))
        self.assertIn("wrong.cu:3:", answer["log"])
        line = self.audit(run, command="swap", outcome="refused")[0]
        self.assertEqual((line["step"], line["status"], line["error"]), ("build", "GQ_ERR_PLUGIN", answer["error"].split("\n")[0]))
        self.assertEqual(self.live()["version"], 1)
        self.stop(run)

    def test_code_that_reads_what_the_run_writes_is_refused(self):
        drops = self.plugin("drops", "gq_drop(out);")
        run = self.running(self.pipeline([{"name": "a", "plugin": drops}], source=self.SOURCE))
        self.assertTrue(until(lambda: os.path.exists(self.out)))
        reads = self.letter("reads", "r", '#include "out"\n')
        code, out, err = self.gpuq("swap", "a", reads)
        self.assertEqual((code, out), (78, b""), err)
        self.assertIn("sink.file.path: the sink and a header of a plugin are one file: name another", err)
        self.assertIn("gpuq swap: refused at step build; version 1 of a serves on\n", err)
        vectors = self.letter("vectors", "v")
        os.symlink(self.out, self.path("vectors.golden.yaml"))
        for rehearse in "on", "off":
            code, out, err = self.gpuq("swap", "--rehearse", rehearse, "a", vectors)
            self.assertEqual((code, out), (78, b""), err)
            self.assertIn("sink.file.path: the sink and a plugin's golden file are one file: name another", err)
        self.assertEqual(self.live()["version"], 1)
        self.stop(run)

    def test_a_golden_vector_that_differs_is_shown(self):
        run = self.running(self.file)
        self.write("b.golden.yaml", "[{ name: hello, in: hello, out: a }]\n")
        code, _, err = self.gpuq("swap", "a", self.b)
        self.assertEqual(code, 65, err)
        self.assertIn("gpuq swap: refused at step rehearse; version 1 of a serves on\n", err)
        for text in ("b.golden.yaml:1:", "hello", "expected"):
            self.assertIn(text, err)
        self.assertEqual(self.ask("swap", "--rehearse", "off", "a", self.b)["rehearse"], False)
        self.assertTrue(self.last_letters("b"))
        self.stop(run)

    def test_rollback_use_and_discard(self):
        run = self.running(self.file)
        self.ask("swap", "a", self.b)
        code, out, _ = self.gpuq("rollback", "a")
        self.assertEqual(code, 0)
        self.assertRegex(out.decode(), r"\Aa: version 1 is live \(generation 3, digest [0-9a-f]{12}\) after [\d.]+ [mun]s\n\Z")
        self.assertTrue(self.last_letters("a"))
        self.assertEqual(self.ask("use", "a", "2")["version"], 2)
        self.assertTrue(self.last_letters("b"))
        self.assertEqual(self.ask("discard", "a", "77", code=1)["live"], 2)
        code, _, err = self.gpuq("discard", "a", "2")
        self.assertEqual(code, 64, err)
        self.assertIn("live", err)
        self.assertEqual(self.gpuq("discard", "a", "1")[:2], (0, b"a: version 1 is discarded\n"))
        self.assertEqual(self.audit(run, command="discard", outcome="discarded")[0]["version"], 1)
        self.assertNotEqual(self.gpuq("use", "a", "1")[0], 0)
        self.assertEqual(self.ask("use", "a", "77", code=1)["status"], "GQ_ERR_NOT_FOUND")
        self.stop(run)

    def test_a_rollback_says_what_was_rolled_back_already(self):
        run = self.running(self.file)
        bad = self.plugin("bad", "out->out[0] = *(const volatile uint8_t *)(in.len + 64ull);")
        self.ask("swap", "--rehearse", "off", "a", bad)
        self.assertTrue(until(lambda: self.live()["version"] == 1))
        code, out, err = self.gpuq("rollback", "a")
        self.assertEqual((code, out), (1, b""))
        self.assertRegex(err, r"\Agpuq rollback: refused at step resolve; version 1 of a serves on\n"
                         r"version 2 of stage 'a' was rolled back already, after it had served no message and ended the worker with message \d+; "
                         r"version 1 is live, and no other version was live before it\n\Z")
        self.assertEqual(self.live()["version"], 1)
        self.assertTrue(self.last_letters("a"))
        self.stop(run)

    def test_a_reload_takes_new_parameters_and_refuses_a_new_sink(self):
        plugin = self.plugin("p", "out->out[0] = GQ_PARAM(letter, 'x'); *out->out_len = 1;")
        file = self.pipeline([{"plugin": plugin}], source=self.SOURCE)
        run = self.running(file)
        self.assertTrue(self.last_letters("x"))
        self.pipeline([{"plugin": plugin, "params": {"letter": ord("y")}}], source=self.SOURCE)
        code, out, err = self.gpuq("reload")
        self.assertEqual((code, out), (0, b"1 stage swapped (generation 2)\n"), err)
        self.assertTrue(self.last_letters("y"))
        self.pipeline([{"plugin": plugin}], source=self.SOURCE, sink={"null": {}})
        answer = self.ask("reload", code=78)
        self.assertRegex(answer["error"], "sink.*restart")
        self.write("pipeline.yaml", "version: 1\nstages: [{ plugin: p.cu, paramz: {} }]\n")
        self.assertIn("pipeline.yaml:2:", self.ask("reload", code=78)["error"])
        self.assertTrue(self.last_letters("y"))
        self.stop(run)

    def test_a_reload_says_which_stage(self):
        stages = [{"name": "first", "plugin": "builtin:echo"}, {"name": "second", "plugin": self.a}]
        run = self.running(self.pipeline(stages, source=self.SOURCE))
        bad = self.plugin("bad", "?")
        self.pipeline([stages[0], {"name": "second", "plugin": bad}], source=self.SOURCE)
        self.assertIn("gpuq reload: refused at step build; version 1 of second serves on\n", self.gpuq("reload")[2])
        self.assertEqual(self.ask("reload", code=65)["stage"], "second")
        self.pipeline([stages[0], {"name": "second", "plugin": self.b}], source=self.SOURCE)
        self.assertEqual(self.ask("reload")["stage"], "second")
        self.assertEqual(self.ask("reload")["stage"], "")  # it came to none
        self.assertEqual([(line["stage"], line["outcome"]) for line in self.audit(run, 4, command="reload")],
                         [("second", "refused")] * 2 + [("second", "live"), ("", "unchanged")])
        self.stop(run)

    def test_a_reload_says_that_the_settings_changed(self):
        run = self.running(self.file)
        said = b"the settings of `swap` changed: the next change has them\n"
        self.pipeline([{"plugin": self.a}], source=self.SOURCE, swap={"keep_versions": 1})
        self.assertEqual(self.gpuq("reload")[:2], (0, said))
        self.pipeline([{"plugin": self.a}], source=self.SOURCE, swap={"rehearse": "off", "keep_versions": 1})
        self.assertEqual([self.ask("reload")["settings"] for _ in range(2)], [True, False])
        self.pipeline([{"name": "a", "plugin": self.b}], source=self.SOURCE)
        self.assertEqual(self.gpuq("reload")[:2], (0, b"1 stage swapped (generation 2)\n" + said))
        self.assertEqual(self.gpuq("reload")[:2], (0, b"nothing differs from what runs\n"))
        self.assertEqual([(line["outcome"], line.get("settings")) for line in self.audit(run, 5, command="reload")],
                         [("unchanged", "true")] * 2 + [("unchanged", None), ("live", "true"), ("unchanged", None)])
        self.stop(run)

    def test_a_plugin_that_a_reload_brings_may_be_swapped_to(self):
        os.mkdir(self.path("sub"))
        elsewhere = os.path.join(self.folder, "sub")
        file = self.write("sub/pipeline.yaml", json.dumps({"version": 1, "name": "pipeline", "stages": [{"name": "s", "plugin": "builtin:echo"}],
                                                           "source": self.SOURCE, "sink": {"file": {"path": self.out, "join": "lines"}}}))
        run = self.running(file)
        self.assertIn(elsewhere, self.ask("swap", "s", self.b, code=65)["error"])
        text = self.read("sub/pipeline.yaml").decode().replace("builtin:echo", self.a)
        self.write("sub/pipeline.yaml", text)
        self.assertEqual(self.ask("reload")["changed"], 1)
        self.ask("swap", "s", self.b)
        self.assertTrue(self.last_letters("b"))
        self.stop(run)

    def test_a_run_that_ends_gives_the_answers_that_it_owes(self):
        run = self.running(self.file)
        s, path = self.connect(run), self.socket_of(run)
        s.sendall(b"discard stage=a version=99\n" * 3000)
        served = lambda: sum(line.startswith("audit ") for line in self.said[run.pid])
        def stuck():  # it has no room for an answer
            before = served()
            time.sleep(0.3)
            return before > 0 and served() == before
        self.assertTrue(until(stuck))
        run.send_signal(signal.SIGINT)
        self.assertTrue(until(lambda: not os.path.exists(path)))
        time.sleep(0.1)
        data = b""
        try:
            while more := s.recv(65536):
                data += more
        except ConnectionResetError:  # of what was asked besides nothing was read
            pass
        run.wait(30)
        run.collector.join(10)
        self.assertEqual((run.returncode, data.count(b"\n\n")), (0, served()))

    def test_stats_are_the_counters(self):
        run = self.running(self.file)
        self.assertTrue(until(lambda: self.ask("stats")["messages_out"] > 0))
        stats = self.ask("stats")
        self.assertEqual((stats["pipeline"], stats["pid"], stats["backend"]), ("pipeline", run.pid, harness.BACKEND))
        self.assertGreaterEqual(stats["messages_in"], stats["messages_out"])
        self.assertGreater(stats["seconds"], 0)
        self.assertEqual((stats["resumed"], stats["restarts"], stats["recovered"]), (0, 0, 0))
        os.kill(self.worker_of(run), signal.SIGKILL)
        self.assertTrue(until(lambda: self.ask("stats")["restarts"] == 1))
        code, out, _ = self.gpuq("stats")
        self.assertEqual(code, 0)
        self.assertRegex(out.decode(), r"\Apipeline  pipeline, process \d+, backend \w+, .* s\nmessages  \d+ in, ")
        self.stop(run)

    def test_a_pipeline_that_is_stopped_is_not_waited_for(self):
        run = self.running(self.pipeline([{"plugin": self.a}], source=self.SOURCE))
        run.send_signal(signal.SIGSTOP)
        asking = [self.start(*words) for words in (("stats",), ("plugins", "--json"), ("stats", "--socket", self.socket_of(run)))]
        changing = self.start("swap", "a")
        said = f"the pipeline has not answered for 10 s: its process, {run.pid}, is stopped, or gets no time to run"
        for process in asking:
            try:
                code, out, err = self.finish(process, timeout=30)
            finally:
                run.send_signal(signal.SIGCONT) if process.poll() is None else None
            self.assertEqual((code, err), (1, f"gpuq {process.args[1]}: {said}\n"))
            self.assertEqual(json.loads(out)["error"] if out else said, said)
        self.assertIsNone(changing.poll())
        run.send_signal(signal.SIGCONT)
        self.assertEqual(self.finish(changing)[0], 0)
        self.assertEqual(self.gpuq("stats")[0], 0)
        self.stop(run)

    def test_rehearse_off_is_shown(self):
        run = self.running(self.pipeline([{"plugin": self.a}], source=self.SOURCE, swap={"rehearse": "off"}))
        self.assertIn("rehearse: off", self.gpuq("plugins")[1].decode())
        self.assertIn("rehearse off", self.gpuq("swap", "a", self.b)[1].decode())
        self.stop(run)

    def test_rehearse_off_is_shown_as_the_file_says_it_now(self):
        run = self.running(self.file)
        for switch, letter in (("off", "c"), ("on", "d")):
            self.pipeline([{"plugin": self.a}], source=self.SOURCE, swap={"rehearse": switch})
            self.ask("reload")
            self.assertEqual(self.ask("plugins")["rehearse"], switch == "on")
            self.assertEqual(self.ask("swap", "a", self.letter(letter, letter))["rehearse"], switch == "on")
        self.stop(run)

    def test_stages_and_words_that_are_wrong(self):
        run = self.running(self.file)
        for arguments in (("swap", "nothing"), ("rollback", "nothing"), ("use", "a", "x"), ("use", "a", "0"), ("use", "a", "99999999999"),
                          ("swap", "--rehearse", "maybe", "a"), ("swap",), ("swap", "a", "b", "c"), ("use", "a"), ("plugins", "a"),
                          ("plugins", "--rehearse", "on"), ("stats", "--socket"), ("rollback", "--fast", "a")):
            code, out, err = self.gpuq(*arguments)
            self.assertEqual((code, out), (64, b""), (arguments, err))
            self.assertRegex(err, r"\Agpuq [a-z]+: .+\n\Z")
        self.stop(run)

    def test_the_table_of_commands_is_in_help_manual_completion_and_reference(self):
        usage = self.gpuq("help")[1].decode()
        completion = self.gpuq("help", "--completion", "bash")[1].decode()
        with open(os.path.join(harness.TREE, "docs/reference/control.md"), encoding="utf-8") as file:
            page = file.read()
        for name in COMMANDS:
            self.assertRegex(usage, rf"(?m)^  {name} ")
            self.assertRegex(completion, rf"(?m)^ +{name}\) words=")
            self.assertIn(f"`{name}", page)


class Files(Operated):
    """Which files may become a stage's code."""

    def setUp(self):
        super().setUp()
        for folder in ("home", "plugins", "plugins/below", "outside"):
            os.mkdir(self.path(folder))
        self.letter("plugins/a", "a")
        self.letter("plugins/below/b", "b")
        self.letter("home/c", "c")
        self.letter("outside/d", "d")
        config = {"version": 1, "name": "files", "stages": [{"plugin": "../plugins/a.cu"}], "source": self.SOURCE,
                  "sink": {"file": {"path": self.out, "join": "lines"}}}
        self.run_ = self.running(self.write("home/files.yaml", json.dumps(config)))

    def test_those_of_the_plugin_folders(self):
        for file, letter in (("plugins/below/b.cu", "b"), ("home/c.cu", "c"), ("plugins/a.cu", "a"), ("outside/../home/c.cu", "c")):
            self.ask("swap", "a", self.path(file))
            self.assertTrue(self.last_letters(letter), file)
        self.ask("swap", "a", "builtin:echo")
        self.stop(self.run_)

    def test_a_relative_file_is_the_clients(self):
        self.ask("swap", "a", "b.cu", cwd=self.path("plugins/below"))
        self.assertTrue(self.last_letters("b"))
        self.ask("swap", "a", "../a.cu", cwd=self.path("plugins/below"))
        self.assertTrue(self.last_letters("a"))
        self.stop(self.run_)

    def test_others_are_refused_however_they_are_written(self):
        os.symlink(self.path("outside/d.cu"), self.path("plugins/link.cu"))
        os.symlink(self.path("outside"), self.path("plugins/way"))
        os.mkdir(self.path("plugins2"))
        self.letter("plugins2/e", "e")
        for file in ("outside/d.cu", "plugins/../outside/d.cu", "plugins/link.cu", "plugins/way/d.cu", "plugins2/e.cu"):
            answer = self.ask("swap", "a", self.path(file), code=65)
            self.assertEqual(answer["step"], "resolve")
            for folder in ("home", "plugins"):
                self.assertIn(self.path(folder), answer["error"])
        for file in ("/etc/passwd", "/dev/zero", "/proc/self/mem"):
            self.ask("swap", "a", file, code=65)
        self.assertIn("No such file", self.ask("swap", "a", self.path("plugins/none.cu"), code=65)["error"])
        self.assertIn("not a regular file", self.ask("swap", "a", self.path("plugins"), code=65)["error"])
        self.assertEqual(self.ask("swap", "a", "", code=64)["error"], "the plugin's path is empty")
        self.assertEqual(len(self.audit(self.run_, count=11, outcome="refused")), 11)
        self.assertEqual(self.live()["version"], 1)
        self.stop(self.run_)

    def test_no_name_of_a_file_forges_an_audit_line(self):
        if os.environ.get("GPUQ_BACKEND") == "cuda":
            self.stop(self.run_)
            self.skipTest("ptxas reads no name with a line's end in it")
        name = self.path('plugins/x\naudit time="now" by="nobody" \\"\x1b[2J\x7f.cu')
        self.ask("swap", "a", name, code=65)
        self.letter(os.path.relpath(name[:-3], self.folder), "f")
        self.ask("swap", "a", name)
        lines = self.audit(self.run_, count=2, command="swap")
        self.assertEqual([line["file"] for line in lines], [name, name])
        said = self.stop(self.run_)
        self.assertEqual(sum(line.startswith("audit ") for line in said), 2)
        self.assertFalse([line for line in said if line.startswith("audit ") and re.search(r"[\x00-\x1f\x7f]", line)])


harness.main()
