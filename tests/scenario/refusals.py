#!/usr/bin/env python3
"""refusals.py - a run that cannot start says why in a sentence, with the documented exit code, and delivers nothing."""
import json
import os
import re
import resource
import subprocess
import harness

NO_GPU = {"GPUQ_LIBCUDA": "/nowhere/libcuda.so.1"}
ANY_DRIVER = {"GPUQ_LIBCUDA": "libc.so.6", "GPUQ_BACKEND": "cuda"}  # it can be opened: a worker is asked


class Refusals(harness.Scenario):
    def refused(self, code, *expected, pipeline=None, arguments=(), env=None):
        got, out, err = self.gpuq("run", *arguments, pipeline or self.pipeline(source={"stdin": {}}), env=env, stdin=b"one\n")
        self.assertEqual((got, out), (code, b""), err)
        for text in expected:
            self.assertIn(text, err)
        self.assertFalse(os.path.exists(self.out))
        return err

    def test_a_compile_error_is_the_users_file_line_and_column(self):
        name = self.write("wrong.cu", "#include <gpuqueue/plugin.h>\n\n__device__ void process_message(const MsgView &in, ResultView *out)\n"
                          "{\n    *out->out_len = in.length;\n}\n")
        stages = [{"plugin": "builtin:echo"}, {"plugin": name}]
        self.refused(65, f"{name}:5:", "error: ", "length", "^", pipeline=self.pipeline(stages, source={"stdin": {}}))

    def test_a_parameter_of_another_type_is_an_error_where_the_plugin_takes_it(self):
        name = self.plugin("typed", "const uint32_t width = GQ_PARAM(width, 8);\n*out->out_len = width;")
        stages = [{"plugin": name, "params": {"width": "eight"}}]
        err = self.refused(65, pipeline=self.pipeline(stages, source={"stdin": {}}))
        self.assertRegex(err, rf"\A{re.escape(name)}:4:\d+: error: ")
        self.assertNotIn("\n\n", err)

    # --- files that are read and written ---------------------------------------------------------------------------

    def including(self, line, **keys):
        """A pipeline whose plugin has this line, and a header of which nothing may be lost."""
        self.write("header.h", "#define LENGTH in.len\n")
        plugin = self.plugin("includes", harness.ECHO + " *out->out_len = LENGTH;", line + "\n")
        stages = [{"plugin": plugin}, {"name": "again", "plugin": plugin}]  # it is said once
        return self.pipeline(stages, source={"file": {"path": self.write("in", "one\n")}}, **keys)

    def assert_kept(self, pipeline, key, what, lint=78):
        sentence = f"{key}: {what} and a header of a plugin are one file: name another\n"
        code, out, err = self.gpuq("lint", pipeline)
        self.assertEqual(code, lint, out + err.encode())
        said = self.refused(78, sentence, pipeline=pipeline)
        self.assertRegex(said, rf"\A{re.escape(pipeline)}:1:\d+: error: ")
        if lint:
            self.assertEqual(out.decode(), said)
        self.assertEqual(self.read("header.h"), b"#define LENGTH in.len\n")

    def test_what_the_shell_made_one_file_is_not_read_and_written(self):
        kept = b"".join(b"%d\n" % i for i in range(100000))  # more than is read at once: results would be read again, without end
        self.write("in", kept)
        named, stdin, stdout = {"file": {"path": self.path("in")}}, {"stdin": {}}, {"stdout": {}}
        for source, sink in ((stdin, named), (named, stdout), (stdin, stdout)):
            with open(self.path("in"), "rb") as reading, open(self.path("in"), "ab") as writing:
                limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10 * len(kept), 10 * len(kept)))}
                code, _, err = self.finish(self.start("run", self.pipeline(source=source, sink=sink), stdin=reading, stdout=writing, **limit))
            self.assertEqual((code, self.read("in") == kept), (78, True), err)
            names = ["standard output" if sink == stdout else self.path("in"), "standard input" if source == stdin else self.path("in")]
            self.assertEqual(err, "gpuq run: the sink, {}, and the source, {}, are one file: write to another\n".format(*names))

    def test_the_shell_does_not_send_results_into_a_file_of_the_run(self):
        plugin = self.plugin("mine", "*out->out_len = 0;")
        pipeline = self.pipeline([{"plugin": plugin}], source={"generate": {"count": 3, "bytes": 8}}, sink={"stdout": {}},
                                 on_error={"dead_letter": {"file": {"path": self.path("letters")}}})
        for what, file in (("the dead letters", self.path("letters")), ("the pipeline file", pipeline), ("a plugin", plugin)):
            with open(file, "ab") as itself:
                size = itself.tell()
                code, _, err = self.finish(self.start("run", pipeline, stdout=itself))
            self.assertEqual((code, err), (78, f"gpuq run: the sink, standard output, and {what}, {file}, are one file: write to another\n"))
            self.assertIn(os.path.getsize(file) - size, (0, 32 if what == "the dead letters" else 0))  # their file's head

    def test_a_header_is_not_written_over(self):
        header, letters = {"path": self.path("header.h")}, "on_error.dead_letter.file.path"
        for include in ('#include "header.h"', '#include "tmp/../header.h"'):
            self.run_ok(self.including(include))  # it comes from the cache then
            os.remove(self.out)
            self.assert_kept(self.including(include, sink={"file": header}), "sink.file.path", "the sink")
            self.assert_kept(self.including(include, on_error={"dead_letter": {"file": header}}), letters, "the dead letters")
            os.link(self.path("header.h"), self.path("out.checkpoint"))
            self.assert_kept(self.including(include, delivery="exactly_once"), "sink.file.path", "the sink's checkpoint")
            os.rename(self.path("out.checkpoint"), self.path("out.checkpoint.new"))
            self.assert_kept(self.including(include, delivery="exactly_once"), "sink.file.path", "the sink's checkpoint")
            os.remove(self.path("out.checkpoint.new"))

    def test_what_is_read_is_no_journal_and_not_the_file_that_one_is_written_anew_to(self):
        self.including('#include "header.h"')
        os.link(self.path("header.h"), self.path("kept.new"))
        for journal in "header.h", "kept":
            for keys, what in (({}, "a header of a plugin"), ({"plugins": {"pins": "header.h"}}, "the file of plugins.pins")):
                text = {"version": 1, "stages": [{"plugin": "includes.cu"}], "queue": {"journal": journal, "durability": "memory"}, **keys}
                code, out, err = self.gpuq("lint", self.write("app.yaml", json.dumps(text)))
                self.assertEqual(code, 78, err)
                self.assertIn(f"queue.journal: the journal and {what} are one file: name another\n", out.decode())

    @harness.only_on("cpu", "NVRTC does not say what it read")
    def test_a_header_that_only_the_compiler_finds_is_not_written_over(self):
        include = '#define NAME "header.h"\n#include NAME'
        self.run_ok(self.including(include))
        os.remove(self.out)
        self.assert_kept(self.including(include, sink={"file": {"path": self.path("header.h")}}), "sink.file.path", "the sink", lint=0)

    def test_pinned_headers_are_not_written_over(self):
        pipeline = self.including('#include "header.h"', sink={"file": {"path": self.path("header.h")}}, plugins={"pins": "pins"})
        os.chmod(self.folder, 0o700)
        self.write("pins", self.gpuq("plugin", "pin", self.path("includes.cu"))[1])
        for name in ("pins", "header.h", "includes.cu"):
            os.chmod(self.path(name), 0o600)
        self.assert_kept(pipeline, "sink.file.path", "the sink")

    def test_a_plugin_without_process_message(self):
        name = self.write("empty.cu", harness.PLUGIN)
        self.refused(65, "empty.cu", "process_message", pipeline=self.pipeline([{"plugin": name}], source={"stdin": {}}))

    def test_a_source_in_a_stages_place(self):
        stages = [{"plugin": harness.ours("counter")}]
        self.refused(65, "counter.cu", "process_message", pipeline=self.pipeline(stages, source={"stdin": {}}))

    def test_a_compiler_that_is_missing(self):
        compiler = {"cpu": "GPUQ_CXX", "cuda": "GPUQ_NVRTC"}[harness.BACKEND]
        self.refused(69, "/nowhere", env={compiler: "/nowhere", "GPUQ_CACHE": "off"})

    def test_a_worker_program_that_is_missing_or_another_one(self):
        self.refused(69, "/nowhere", env={"GPUQ_WORKER": "/nowhere"})
        for other in ("/bin/true", "/bin/false"):
            got, _, err = self.gpuq("run", self.pipeline(source={"stdin": {}}), env={"GPUQ_WORKER": other})
            self.assertIn(got, (1, 69, 70), err)
            self.assertIn("gpuq run: ", err)
            self.assertIn(f"; GPUQ_WORKER={other} was started for it, and must be a gpuq-worker of this release", err)
            err = self.refused(69, "before it answered", env={"GPUQ_WORKER": other, **ANY_DRIVER})
            self.assertIn(f"; GPUQ_WORKER={other} was started for it, and must be a gpuq-worker of this release", err)

    def test_what_another_program_prints_in_the_workers_place_is_no_result(self):
        code, out, err = self.gpuq("run", self.pipeline(source={"stdin": {}}, sink={"stdout": {}}), env={"GPUQ_WORKER": "/bin/echo"})
        self.assertIn(code, (1, 69, 70), err)
        self.assertEqual(out, b"")

    def test_a_worker_program_that_says_nothing_is_named(self):
        mute = self.write("mute", "#!/bin/sh\nexec sleep 100\n")
        os.chmod(mute, 0o755)
        pipeline = self.pipeline(source={"stdin": {}})
        self.run_ok(pipeline)  # the plugin is in the cache now: no builder is waited for
        runs = [self.start("run", *words, pipeline, stdin=subprocess.DEVNULL, env={"GPUQ_WORKER": mute, **env})
                for words, env in (((), {}), (("--backend", "cuda"), ANY_DRIVER))]
        for run in runs:
            code, _, err = self.finish(run)
            self.assertIn(code, (1, 69), err)
            self.assertIn("did not answer within 30000 ms", err)
            self.assertIn(f"; GPUQ_WORKER={mute} was started for it, and must be a gpuq-worker of this release", err)

    def test_cuda_without_a_driver_never_falls_back(self):
        cuda = self.pipeline(backend="cuda", source={"stdin": {}})
        self.refused(69, "cuda", "the pipeline file", pipeline=cuda, env={"GPUQ_BACKEND": "", **NO_GPU})
        self.refused(69, "GPUQ_BACKEND", env={"GPUQ_BACKEND": "cuda", **NO_GPU})
        self.refused(69, "--backend", arguments=("--backend", "cuda"), env=NO_GPU)

    def test_the_command_line_wins_over_the_environment_which_wins_over_the_file(self):
        cuda = self.pipeline(backend="cuda", source={"stdin": {}}, sink={"stdout": {}})
        for arguments, env, who in ((("--backend", "cpu"), "cuda", "--backend"), ((), "cpu", "GPUQ_BACKEND"),
                                    (("--backend", "auto"), "cuda", "auto: ")):
            code, out, err = self.gpuq("run", *arguments, cuda, env={"GPUQ_BACKEND": env, **NO_GPU}, stdin=b"one\n")
            self.assertEqual((code, out), (0, b"one\n"), err)
            self.assertRegex(err, rf"backend +cpu \(.*{who}")

    def test_words_that_are_no_backend(self):
        self.refused(64, "'gpu'", "auto, cuda or cpu", arguments=("--backend", "gpu"))
        self.refused(64, "GPUQ_BACKEND", "'tpu'", "auto, cuda or cpu", env={"GPUQ_BACKEND": "tpu"})

    def test_a_command_line_that_is_wrong(self):
        good = self.pipeline(source={"stdin": {}})
        for arguments in ((), (good, good), ("--threads", "0", good), ("--threads", "1025", good), ("--threads", "x", good),
                          ("--threads", "-1", good), ("--threads", "", good), ("--threads", "4294967297", good),
                          ("--threads", f"-{2**64 - 3}", good), ("--threads", " 3", good), ("--fast", good)):
            code, out, err = self.gpuq("run", *arguments)
            self.assertEqual((code, out), (64, b""), (arguments, err))
            self.assertNotEqual(err, "")

    def test_a_list_of_the_cache_shows_a_file_name_and_does_what_none_says(self):
        env = {"GPUQ_CACHE": self.path("cache")}
        pipeline = self.pipeline([{"name": "a", "plugin": self.plugin("a\x1b[2Jb", "*out->out_len = 0;")}], source={"stdin": {}})
        self.assertEqual(self.gpuq("run", "--backend", "cpu", pipeline, env=env)[0], 0)
        code, out, _ = self.gpuq("cache", "ls", env=env)
        self.assertEqual(code, 0)
        self.assertRegex(out, rb"a\\x1b\[2Jb\.cu\n")

    def test_a_pipeline_file_with_errors_is_refused_with_the_text_of_lint(self):
        wrong = self.write("wrong.yaml", "version: 1\nqueue: { capacity: 3 }\nstages: [{ plugin: nowhere.cu }]\nsnk: { null: {} }\n")
        lint_code, lint_out, _ = self.gpuq("lint", wrong)
        code, out, err = self.gpuq("run", wrong)
        self.assertEqual((lint_code, code, out), (78, 78, b""))
        errors = [line for line in lint_out.decode().splitlines() if ": error: " in line]
        self.assertEqual(len(errors), 3, lint_out)
        self.assertEqual([line for line in err.splitlines() if ": error: " in line], errors)

    def test_files_that_are_not_there(self):
        code, _, err = self.gpuq("run", self.path("none.yaml"))
        self.assertEqual(code, 74, err)
        self.assertIn("none.yaml", err)
        self.refused(78, "in.txt", pipeline=self.pipeline(source={"file": {"path": "in.txt"}}))

    def test_an_output_that_cannot_be_written(self):
        source = {"file": {"path": self.write("in", b"one\n" * 1000)}}
        code, _, err = self.gpuq("run", self.pipeline(source=source, sink={"file": {"path": "/dev/full"}}))
        self.assertEqual(code, 74, err)
        self.assertIn("/dev/full", err)
        with open("/dev/full", "wb") as full:
            code, _, err = self.gpuq("run", self.pipeline(source=source, sink={"stdout": {}}), stdout=full)
        self.assertEqual(code, 74, err)
        self.assertIn("standard output", err)
        self.assertIn("No space left", err)

    @harness.only_on("cpu", "a driver makes files of its own")
    def test_files_that_may_not_grow_are_an_error_with_a_sentence(self):
        def bound():
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        code, _, err = self.gpuq("run", self.pipeline(source={"stdin": {}}), preexec_fn=bound)
        self.assertEqual(code, 71, err)
        self.assertRegex(err, r"^gpuq run: \S")
        self.assertIn("RLIMIT_FSIZE", err)

    def test_a_stack_that_is_too_small_is_a_sentence_and_one_that_may_grow_is_let_grow(self):
        stages = [{"plugin": self.plugin("stacked", harness.ECHO)}]
        pipeline = self.pipeline(stages, source={"stdin": {}})
        for bound, expected in (("-s 64", 71), ("-Ss 64", 0), ("-s 256", 0)):
            command = ["sh", "-c", f'ulimit {bound} && exec "$@"', "sh", harness.GPUQ, "run", "--no-cache", "--quiet", pipeline]
            run = subprocess.run(command, input=b"one\n", capture_output=True, timeout=100, check=False,
                                 env={**os.environ, "GPUQ_BACKEND": harness.BACKEND})
            self.assertEqual(run.returncode, expected, (bound, run.stderr))
            if expected:
                self.assertEqual(run.stderr, b"gpuq: RLIMIT_STACK, see `ulimit -s`, allows 64 KiB and 256 are needed\n")
            else:
                self.assertEqual(self.read("out"), b"one\n")
                os.remove(self.out)

    def test_a_file_that_cannot_be_written_is_named(self):
        full = {"cwd": self.folder, "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))}
        code, _, err = self.gpuq("new", "mine", **full)
        self.assertEqual(code, 74, err)
        self.assertRegex(err, r"^gpuq new: mine/\S+: writing \d+ bytes: File too large")
        self.assertFalse(os.path.exists(self.path("mine")))

    def test_a_file_that_another_run_writes(self):
        first = self.start("run", self.pipeline(source={"stdin": {}}), stdin=subprocess.PIPE, bufsize=0)
        first.stdin.write(b"first\n")
        self.assertTrue(harness.until(lambda: os.path.exists(self.out) and self.read() == b"first\n"))
        second = self.pipeline(name="second", source={"stdin": {}})
        code, _, err = self.gpuq("run", second, stdin=b"one\n")
        self.assertEqual(code, 74, err)
        self.assertIn(f"{self.out}: another run is writing it", err)
        code, _, err = self.finish(first, b"last\n")
        self.assertEqual((code, self.read()), (0, b"first\nlast\n"), err)
        self.run_ok(second, stdin=b"one\n")
        self.assertEqual(self.read(), b"one\n")

    def test_a_folder_is_no_input(self):
        code, _, err = self.gpuq("run", self.pipeline(source={"file": {"path": self.folder}}))
        self.assertIn(code, (74, 78), err)
        self.assertIn(self.folder, err)


harness.main()
