#!/usr/bin/env python3
"""commands.py GPUQ DRIVER NVML - the frame of gpuq: dispatch, help, refusals and exit codes."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

GPUQ, DRIVER, NVML = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1)
NO_GPU = {"GPUQ_LIBCUDA": "/nowhere/libcuda.so.1"}


def gpuq(*arguments, env=None, **options):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options}
    return subprocess.run([GPUQ, *arguments], stderr=subprocess.PIPE, text=True, check=False, timeout=60,
                          env={**os.environ, **(env or {})}, **options)


def command_names():
    return re.findall(r"^  (\w+) +\S", gpuq("help").stdout, re.M)


class Frame(unittest.TestCase):
    def test_no_command_is_a_usage_error_that_lists_the_commands(self):
        run = gpuq()
        self.assertEqual((run.returncode, run.stdout), (64, ""))
        self.assertIn("usage: gpuq COMMAND", run.stderr)

    def test_a_closed_standard_output_is_an_error_and_nothing_else_is_written_to(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "closed.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write("version: 1\nbackend: cpu\nsource: { generate: { count: 4, bytes: 2 } }\n"
                        "stages: [{ plugin: builtin:echo }]\nsink: { stdout: { join: raw } }\n")
            for closed in (">&-", "<&- >&-"):
                run = subprocess.run(["sh", "-c", f'exec "$0" run "$1" {closed}', GPUQ, path], stderr=subprocess.PIPE,
                                     text=True, check=False, timeout=60)
                self.assertEqual(run.returncode, 74, run.stderr)
                self.assertRegex(run.stderr, "standard output: writing [2468] bytes: Bad file descriptor")

    def test_what_is_for_programs_is_not_run(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "api.yaml")
            for keys, word in (("", "source and sink are"), ("sink: { stdout: {} }\n", "source is"),
                               ("source: { stdin: {} }\n", "sink is")):
                with open(path, "w", encoding="utf-8") as f:
                    f.write("version: 1\nstages: [{ plugin: builtin:echo }]\n" + keys)
                run = gpuq("run", path)
                self.assertEqual((run.returncode, run.stdout), (64, ""))
                self.assertIn(f"{path}: {word} `api`, which is for a program", run.stderr)

    def test_lint_and_run_refuse_every_parameter_that_a_plugin_lacks_in_the_same_words(self):
        with tempfile.TemporaryDirectory() as folder:
            path, plugin = os.path.join(folder, "p.yaml"), os.path.join(folder, "p.cu")
            with open(plugin, "w", encoding="utf-8") as f:
                f.write("#include <gpuqueue/plugin.h>\n__device__ void process_message(const MsgView &, ResultView *out)\n"
                        "{\n    *out->out_len = GQ_PARAM(length, 0);\n}\n")
            with open(path, "w", encoding="utf-8") as f:
                f.write("version: 1\nbackend: cpu\nsource: { generate: { count: 1 } }\nstages:\n  - plugin: p.cu\n"
                        "    params: { lenght: 1, length: 0, colour: red }\nsink: { stdout: {} }\n")
            expected = (f"{path}:6:23: error: params.lenght is no parameter of {plugin}; it has length; did you mean length?\n"
                        f"{path}:6:45: error: params.colour is no parameter of {plugin}; it has length\n")
            lint, run = gpuq("lint", path), gpuq("run", path)
            self.assertEqual((lint.returncode, lint.stdout), (78, expected))
            self.assertEqual((run.returncode, run.stderr), (78, expected))

    def test_explain_says_which_backend_wins(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write("version: 1\nstages: [{ plugin: builtin:echo }]\n")
            self.assertIn("wins over the backend below: cuda\n", gpuq("explain", path, env={"GPUQ_BACKEND": "cuda"}).stdout)
            self.assertNotIn("GPUQ_BACKEND", gpuq("explain", path, env={"GPUQ_BACKEND": ""}).stdout)

    def test_every_command_has_a_manual_both_ways(self):
        self.assertGreaterEqual(len(command_names()), 11)
        for name in command_names():
            run = gpuq(name, "--help")
            self.assertEqual((run.returncode, run.stderr), (0, ""), name)
            self.assertIn(f"usage: gpuq {name}", run.stdout)
            self.assertEqual(gpuq("help", name).stdout, run.stdout)
            self.assertEqual(gpuq(name, "-h").stdout, run.stdout)

    def test_an_unknown_command_names_the_nearest(self):
        run = gpuq("lnit")
        self.assertEqual(run.returncode, 64)
        self.assertIn("did you mean 'lint'?", run.stderr)

    def test_a_word_like_no_command_gets_no_guess(self):
        for word in ("frobnicate", "x" * 5000, ""):
            run = gpuq(word)
            self.assertEqual(run.returncode, 64)
            self.assertNotIn("did you mean", run.stderr)

    def test_an_option_that_is_not_taken_is_named_in_one_sentence(self):
        for command, option, why in (("run", "--bakend", "unknown option '--bakend'"), ("run", "--backend", "--backend lacks its value"),
                                     ("run", "-x", "unknown option '-x', or it lacks its value"), ("bench", "--jsn", "unknown option '--jsn'"),
                                     ("run", "--quiet=3", "'--quiet=3': this option takes no value"), ("lint", "--jso=n", "'--jso=n': this option"),
                                     ("new", "--grid", "unknown option '--grid'"), ("stats", "--socket", "--socket lacks its value")):
            run = gpuq(command, option)
            self.assertEqual((run.returncode, run.stdout), (64, ""), option)
            self.assertRegex(run.stderr, rf"\Agpuq {command}: {re.escape(why)}.*; try `gpuq help {command}`\n\Z")

    def test_a_word_that_is_missing_or_too_many_is_named(self):
        for words, why in (("swap", "which stage? `gpuq plugins` lists them"), ("use a", "which version? `gpuq plugins` lists those of stage a"),
                           ("rollback a b", "one word too many: b"), ("dlq ls --raw f", "ls does not take --raw"),
                           ("dlq drop --backend cpu f", "drop does not take --backend")):
            run = gpuq(*words.split())
            self.assertEqual((run.returncode, run.stdout), (64, ""), words)
            command = words.split()[0]
            self.assertEqual(run.stderr, f"gpuq {command}: {why}; try `gpuq help {command}`\n")

    def test_a_path_that_is_empty_is_said_to_be(self):
        for words, code, said in ((("run", ""), 74, "gpuq run: the pipeline file's path is empty"), (("stats", "--socket", ""), 64, "gpuq stats: the socket's path is empty"),
                                  (("dlq", "ls", ""), 64, "gpuq dlq: the path of the file of dead letters is empty"),
                                  (("plugin", "check", ""), 65, "gpuq plugin: the plugin's path is empty"),
                                  (("explain", ""), 74, "error: the pipeline file's path is empty")):
            run = gpuq(*words)
            self.assertEqual((run.returncode, run.stdout, run.stderr), (code, "", said + "\n"), words)

    def test_a_command_line_that_is_refused_is_refused_in_json_wherever_that_is_asked_for(self):
        for words, why in (("lint --json", "no file given; usage: gpuq lint"), ("lint --nope f --json", "unknown option '--nope'"),
                           ("doctor --nope --json", "takes --json or nothing, got '--nope'"), ("run --json --nope f", "unknown option '--nope'"), ("run --nope f --json", "unknown option '--nope'"),
                           ("run --json", "one pipeline file was expected"), ("run --threads 0 -j f", "--threads 0: a number from 1 to 1024"),
                           ("bench --nope --json", "unknown option '--nope'"), ("bench --json --seconds 0", "--seconds takes 0.01 to 3600"),
                           ("bench --json --threads 4294967297", "--seconds takes 0.01 to 3600, --threads 1 to 1024"),
                           ("bench --json --seconds nan", "--seconds takes 0.01 to 3600"),
                           ("bench nope --json", "there is no case 'nope'; there are:\n"), ("stats --nope --json", "unknown option '--nope'"),
                           ("swap --json", "which stage?"), ("dlq ls --nope --json", "unknown option '--nope'"),
                           ("dlq ls --all --json f", "ls does not take --all")):
            run = gpuq(*words.split())
            answer = json.loads(run.stderr if words[:3] == "run" else run.stdout)
            self.assertEqual((run.returncode, answer["status"], answer["exit_code"]), (64, "GQ_ERR_INVALID_ARG", 64), words)
            self.assertTrue(answer["error"].startswith(why), (words, answer))

    def test_help_refuses_what_it_does_not_know(self):
        self.assertEqual(gpuq("help", "nothing").returncode, 64)
        self.assertEqual(gpuq("help", "--completion", "fish").returncode, 64)
        self.assertEqual(gpuq("help", "--completion").returncode, 64)

    def test_version_has_four_numbers(self):
        self.assertRegex(gpuq("version").stdout, r"\Agpuq \d+\.\d+\.\d+\nAPI \d+\nlayout \d+\nplugin ABI \d+\n\Z")
        self.assertEqual(gpuq("--version").stdout, gpuq("version").stdout)
        self.assertEqual(gpuq("version", "now").returncode, 64)

    def test_output_that_cannot_be_written_is_exit_74(self):
        for arguments in (("help", "--man"), ("schema",)):
            with open("/dev/full", "w", encoding="utf-8") as full:
                run = gpuq(*arguments, stdout=full)
            self.assertEqual(run.returncode, 74)
            self.assertIn("No space left", run.stderr)

    def test_a_reader_that_left_kills_nothing_and_gets_no_sentence(self):
        for arguments in (("help", "--man"), ("schema",)):
            reading, writing = os.pipe()
            os.close(reading)
            run = gpuq(*arguments, stdout=writing)
            os.close(writing)
            self.assertEqual((run.returncode, run.stderr), (74, ""))

    def test_completion_is_a_script_that_completes(self):
        script = gpuq("help", "--completion", "bash").stdout
        ask = script + '\nCOMP_WORDS=(gpuq do); COMP_CWORD=1; _gpuq; echo "${COMPREPLY[@]}"'
        run = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
        self.assertEqual(run.stdout, "doctor\n")


class Doctor(unittest.TestCase):
    def test_a_machine_that_can_build_is_ready(self):
        run = gpuq("doctor", env=NO_GPU)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertTrue(run.stdout.endswith("Ready: backend=cpu\n"), run.stdout)
        self.assertRegex(run.stdout, r"note  driver .*no NVIDIA driver: .*/nowhere.*\n +-> plugins run on the CPU backend")

    def test_json_says_the_same(self):
        found = json.loads(gpuq("doctor", "--json", env=NO_GPU).stdout)
        self.assertEqual((found["ready"], found["backend"]), (True, "cpu"))
        self.assertEqual({f["grade"] for f in found["findings"]} - {"ok", "note"}, set())

    def test_without_a_compiler_no_backend_can_run(self):
        run = gpuq("doctor", env={"PATH": "/nonexistent", **NO_GPU})
        self.assertEqual(run.returncode, 69)
        self.assertRegex(run.stdout, r"FAIL  compiler .*\n +-> .*install")
        self.assertIn("Not ready", run.stdout)

    def test_a_worker_that_is_missing_mute_or_old_is_a_failure(self):
        for worker in ("/nonexistent", "/bin/true", "/bin/false"):
            run = gpuq("doctor", "--json", env={"GPUQ_WORKER": worker})
            self.assertEqual(run.returncode, 69, worker)
            grades = {f["name"]: f["grade"] for f in json.loads(run.stdout)["findings"]}
            self.assertEqual(grades["worker"], "fail")

    def test_the_cache_is_where_a_run_has_it_and_fails_where_a_run_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            home, open_to_all = os.path.join(folder, "home"), os.path.join(folder, "open")
            os.mkdir(open_to_all)
            os.chmod(open_to_all, 0o777)
            pipeline = os.path.join(folder, "p.yaml")
            with open(pipeline, "w", encoding="utf-8") as file:
                file.write("{version: 1, source: {generate: {count: 1, bytes: 1}}, stages: [{plugin: 'builtin:echo'}], sink: {'null': {}}}")
            for env, grade, words in (({"GPUQ_CACHE": "/proc/none"}, "fail", "/proc/none"),
                                      ({"GPUQ_CACHE": open_to_all}, "fail", "can be written by others"),
                                      ({"GPUQ_CACHE": "", "XDG_CACHE_HOME": "/proc/none"}, "note", "/proc/none"),
                                      ({"GPUQ_CACHE": "", "XDG_CACHE_HOME": "none", "HOME": home}, "ok", f"{home}/.cache/gpuqueue, writable"),
                                      ({"GPUQ_CACHE": "", "XDG_CACHE_HOME": "none", "HOME": ""}, "note", "is set to an absolute path"),
                                      ({"GPUQ_CACHE": "off"}, "note", "GPUQ_CACHE=off")):
                doctor, run = gpuq("doctor", "--json", env={**NO_GPU, **env}), gpuq("run", "--quiet", pipeline, env={**NO_GPU, **env})
                said = json.loads(doctor.stdout)
                cache, = [f for f in said["findings"] if f["name"] == "cache"]
                self.assertEqual((cache["grade"], said["ready"], doctor.returncode != 0), (grade, grade != "fail", grade == "fail"), env)
                self.assertIn(words, cache["text"])
                self.assertEqual(run.returncode != 0, grade == "fail", run.stderr)
            self.assertFalse(os.path.exists("none"))

    def doctor_with_driver(self, script="", **env):
        """The findings beside the tests' own libcuda.so.1."""
        run = gpuq("doctor", "--json", env={"GPUQ_LIBCUDA": DRIVER, "GPUQ_FAKE_CUDA": script, **env})
        self.assertEqual(run.returncode, 0, run.stderr)
        said = json.loads(run.stdout)
        return said["backend"], [f for f in said["findings"] if f["name"] in ("driver", "device", "nvrtc")]

    def test_every_gpu_is_named_with_its_capability(self):
        _, (driver, *devices, _) = self.doctor_with_driver("devices=2")
        self.assertEqual((driver["grade"], driver["text"]), ("ok", "CUDA 13.0, devices: 2"))
        self.assertEqual([(d["grade"], d["text"]) for d in devices],
                         [("ok", "0: Imaginary 9000, sm_90"), ("ok", "1: Imaginary 9000 (1), sm_90")])

    def test_a_gpu_and_its_compiler_are_ready_together(self):
        backend, (*_, nvrtc) = self.doctor_with_driver()
        self.assertEqual(backend, "cuda" if nvrtc["grade"] == "ok" else "cpu", nvrtc)

    def test_a_gpu_without_a_compiler_says_what_to_install(self):
        backend, (*_, nvrtc) = self.doctor_with_driver(GPUQ_NVRTC="/nowhere/libnvrtc.so.13")
        self.assertEqual((backend, nvrtc["grade"]), ("cpu", "note"))
        self.assertIn("/nowhere/libnvrtc.so.13", nvrtc["text"])
        self.assertRegex(nvrtc["follows"], "the GPU cannot be used without it: install .*GPUQ_NVRTC")

    def test_a_driver_without_a_device_says_its_error(self):
        backend, (driver, *rest) = self.doctor_with_driver("devices=0")
        self.assertEqual((backend, driver["grade"]), ("cpu", "note"))
        self.assertIn("error 100", driver["text"])
        self.assertEqual([f["name"] for f in rest], ["nvrtc"])

    def test_a_device_that_a_run_could_not_use_says_why(self):
        with tempfile.TemporaryDirectory() as folder:
            backend, (_, device, _) = self.doctor_with_driver(f"fail=cuDeviceGetAttribute,1,999 count={folder}/calls")
        self.assertEqual((backend, device["grade"]), ("cpu", "note"))
        self.assertIn("0: asking the NVIDIA driver: cuDeviceGetAttribute: CUDA_ERROR_UNKNOWN", device["text"])

    def found(self, *names, **env):
        run = gpuq("doctor", "--json", env=env)
        self.assertEqual(run.returncode, 0, run.stderr)
        return [f for f in json.loads(run.stdout)["findings"] if f["name"] in names]

    def test_without_a_gpu_it_says_what_was_not_looked_at(self):
        plugin, bus = self.found("plugin", "bus", **NO_GPU)
        self.assertEqual((plugin["grade"], bus["grade"]), ("note", "note"))
        self.assertEqual(plugin["text"], "nothing was compiled for a GPU: there is no GPU that a run could use")
        self.assertEqual(bus["text"], "not measured: there is no GPU that a run could use")

    def test_what_links_machine_code_is_named_or_missed(self):
        missing, = self.found("nvjitlink", GPUQ_NVJITLINK="/nowhere/libnvJitLink.so.13", **NO_GPU)
        self.assertEqual(missing["grade"], "note")
        self.assertIn("/nowhere/libnvJitLink.so.13", missing["text"])
        self.assertEqual(missing["follows"], "plugins that are PTX or cubins need it; those that are source do without")

    def test_what_every_plugin_takes_on_the_gpu(self):
        plugins = self.found("plugin", GPUQ_LIBCUDA=DRIVER)
        if [p["text"] for p in plugins] == ["nothing was compiled for a GPU: there is no NVRTC to compile with"]:
            self.skipTest("no NVRTC")
        builtins = gpuq("plugin", "check", "--backend", "cpu", "builtin:none").stderr.split("there are: ")[1].strip()
        self.assertEqual([p["text"].split(":")[1] for p in plugins], builtins.split(", "))
        for p in plugins:
            self.assertEqual(p["grade"], "ok", p)
            self.assertRegex(p["text"], r"^builtin:\w+: [1-9]\d* registers and \d+ bytes of stack a thread, \d+ bytes of shared"
                                        r" memory a block, spills: 0 bytes stored, 0 loaded$")

    def test_who_tells_of_faults_is_named_or_missed(self):
        with_it, = self.found("faults", GPUQ_LIBCUDA=DRIVER, GPUQ_LIBNVML=NVML)
        self.assertEqual((with_it["grade"], with_it["text"]), ("ok", f"told of by {NVML}"))
        without, = self.found("faults", GPUQ_LIBCUDA=DRIVER, GPUQ_LIBNVML="/nowhere/libnvidia-ml.so.1")
        self.assertEqual(without["grade"], "note")
        self.assertIn("/nowhere/libnvidia-ml.so.1", without["text"])
        self.assertEqual(self.found("faults", **NO_GPU), [])

    def test_the_bus_is_measured_in_a_process_of_its_own(self):
        bus, = self.found("bus", GPUQ_LIBCUDA=DRIVER)
        self.assertEqual(bus["grade"], "ok", bus)
        rates = [float(r) for r in re.findall(r"([0-9.]+) GB/s", bus["text"])]
        self.assertEqual(len(rates), 4, bus)
        self.assertTrue(all(r > 0 for r in rates), bus)

    def test_a_bus_that_fails_is_a_note(self):
        with tempfile.TemporaryDirectory() as folder:
            bus, = self.found("bus", GPUQ_LIBCUDA=DRIVER, GPUQ_FAKE_CUDA=f"fail=cuLaunchKernel,1,700 count={folder}/calls")
        self.assertEqual(bus["grade"], "note")
        self.assertRegex(bus["text"], "^not measured: cuLaunchKernel: CUDA_ERROR_ILLEGAL_ADDRESS")

    def test_arguments_it_does_not_know_are_refused(self):
        self.assertEqual(gpuq("doctor", "--yaml").returncode, 64)


unittest.main()
