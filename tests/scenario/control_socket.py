#!/usr/bin/env python3
"""control_socket.py - where control sockets are made, with which modes, who is served, which one a command finds, and SIGHUP."""
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest
import harness
from harness import until
from operated import Operated

ROOT = os.getuid() == 0


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


class Sockets(Operated):
    def setUp(self):
        super().setUp()
        self.file = self.pipeline(source=self.SOURCE, sink={"null": {}})

    def control(self, where, name="pipeline"):
        return self.pipeline(source=self.SOURCE, sink={"null": {}}, control={"socket": where}, name=name)

    def test_the_folder_is_the_users_and_the_socket_the_groups(self):
        old = os.umask(0)
        try:
            run = self.running(self.file)
        finally:
            os.umask(old)
        folder = os.path.join(self.runtime, "gpuqueue")
        self.assertEqual((mode(folder), mode(self.socket_of(run))), (0o700, 0o660))
        self.assertEqual(os.listdir(folder), [f"pipeline-{run.pid}.sock"])
        self.stop(run)
        self.assertEqual(os.listdir(folder), [])

    def test_a_tight_umask_makes_no_difference(self):
        old = os.umask(0o177)
        try:
            run = self.running(self.file)
        finally:
            os.umask(old)
        self.assertEqual(mode(self.socket_of(run)), 0o660)
        self.stop(run)

    def test_the_file_says_where(self):
        file = self.control("there/control.sock")
        self.assertEqual(self.refused(file, "control.socket: cannot write into the folder"), 78)
        os.mkdir(self.path("there"))
        run = self.running(file, ready=False)
        path = self.path("there/control.sock")
        self.assertTrue(until(lambda: os.path.exists(path)), self.said)
        self.assertEqual(mode(path), 0o660)
        self.assertFalse(os.path.exists(os.path.join(self.runtime, "gpuqueue")))
        self.assertEqual(self.gpuq("plugins")[0], 69)
        self.assertEqual(self.ask("stats", "--socket", path)["pid"], run.pid)
        self.stop(run)
        self.assertFalse(os.path.exists(path))

    def test_off_means_none(self):
        run = self.running(self.control("off"), ready=False)
        self.assertTrue(self.worker_of(run))
        time.sleep(0.3)
        self.assertEqual(os.listdir(self.runtime), [])
        self.stop(run)

    def refused(self, file, *expected):
        code, _, err = self.gpuq("run", file)
        self.assertNotEqual(code, 0)
        for text in expected:
            self.assertIn(text, err)
        return code

    def test_a_path_that_is_too_long_is_a_sentence(self):
        self.assertEqual(self.refused(self.control("x" * 120), ": error: control.socket: ", "at most 107"), 78)
        code, _, err = self.gpuq("plugins", "--socket", "/tmp/" + "y" * 200)
        self.assertEqual(code, 64, err)
        self.assertIn("107", err)

    def test_what_is_there_already(self):
        path = self.path("c.sock")
        file = self.control("c.sock")
        self.write("c.sock", "a file of somebody")
        self.assertEqual(self.refused(file, "c.sock", "no socket"), 78)
        self.assertEqual(self.read("c.sock"), b"a file of somebody")
        os.remove(path)
        os.symlink(self.path("elsewhere"), path)
        self.assertEqual(self.refused(file, "c.sock", "no socket"), 69)
        os.remove(path)
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        dead.bind(path)
        dead.close()  # nobody listens: as a killed process leaves it
        run = self.running(file, ready=False)
        self.assertTrue(until(lambda: self.gpuq("plugins", "--socket", path)[0] == 0), self.said)
        self.assertEqual(self.refused(file, "c.sock", "running"), 69)
        self.assertEqual(self.gpuq("plugins", "--socket", path)[0], 0)
        self.stop(run)

    def test_what_killed_runs_left_is_swept(self):
        run = self.running(self.file)
        left = self.socket_of(run)
        run.kill()
        run.wait()
        self.assertTrue(os.path.exists(left))
        code, _, err = self.gpuq("plugins")
        self.assertEqual(code, 69)
        self.assertIn(os.path.dirname(left), err)
        self.assertIn("no process serves", self.gpuq("plugins", "--socket", left)[2])
        self.stop(self.running(self.file))
        self.assertFalse(os.path.exists(left))

    def test_another_socket_in_its_place_is_left_alone(self):
        run = self.running(self.file)
        path = self.socket_of(run)
        os.remove(path)
        self.write(os.path.relpath(path, self.folder), "somebody else's")
        self.stop(run)
        self.assertTrue(os.path.exists(path))

    def test_a_folder_that_others_may_enter_is_not_used(self):
        folder = os.path.join(self.runtime, "gpuqueue")
        os.mkdir(self.path("real"), 0o700)
        def opened():
            os.mkdir(folder)
            os.chmod(folder, 0o770)
        for make in (opened, lambda: os.symlink(self.path("real"), folder)):
            make()
            run = self.running(self.file, ready=False)
            self.assertTrue(until(lambda: any("there is no control socket" in line for line in self.said[run.pid])), self.said)
            self.assertIsNone(self.socket_of(run))
            self.assertEqual(self.gpuq("plugins")[0], 69)
            self.assertEqual(os.listdir(self.path("real")), [])
            self.stop(run)
            (os.rmdir if make is opened else os.remove)(folder)

    @unittest.skipUnless(ROOT, "only root can make a folder another user's")
    def test_a_folder_of_another_user_is_not_used(self):
        folder = os.path.join(self.runtime, "gpuqueue")
        os.mkdir(folder, 0o700)
        os.chown(folder, 65534, 65534)
        run = self.running(self.file, ready=False)
        self.assertTrue(until(lambda: any("there is no control socket" in line for line in self.said[run.pid])), self.said)
        self.stop(run)

    def test_without_a_runtime_folder_it_is_with_temporary_files(self):
        run = self.running(self.file, env={"XDG_RUNTIME_DIR": ""}, ready=False)
        folder = os.path.join(self.temporary, f"gpuqueue-{os.getuid()}")
        path = os.path.join(folder, f"pipeline-{run.pid}.sock")
        self.assertTrue(until(lambda: os.path.exists(path)), self.said)
        self.assertEqual(self.ask("stats", "--socket", path)["pid"], run.pid)
        self.assertEqual(self.ask("stats")["pid"], run.pid)  # also by those who have one
        self.stop(run)
        self.assertEqual(os.listdir(folder), [])
        os.rmdir(folder)

    def test_odd_and_long_names(self):
        for name in ("a b/c", "..", "é" * 10, "n" * 64):
            run = self.running(self.pipeline(source=self.SOURCE, sink={"null": {}}, name="odd") if False else self.named(name), ready=False)
            self.assertTrue(until(lambda: os.listdir(os.path.join(self.runtime, "gpuqueue")) if os.path.isdir(
                os.path.join(self.runtime, "gpuqueue")) else [] or run.poll() is not None), self.said)
            if run.poll() is None:
                self.assertTrue(until(lambda: self.gpuq("plugins")[0] == 0))
                self.stop(run)

    def named(self, name):
        return self.write("odd.yaml", json.dumps({"version": 1, "name": name, "stages": [{"plugin": "builtin:echo"}],
                                                  "source": self.SOURCE, "sink": {"null": {}}}))

    def test_two_pipelines_are_told_apart(self):
        one = self.running(self.pipeline(source=self.SOURCE, sink={"null": {}}, name="one"))
        self.assertEqual(self.ask("stats")["pipeline"], "one")
        two = self.running(self.pipeline(source=self.SOURCE, sink={"null": {}}, name="two"))
        code, out, err = self.gpuq("stats")
        self.assertEqual((code, out), (64, b""))
        for run in (one, two):
            self.assertIn(self.socket_of(run), err)
        self.assertIn(self.socket_of(one), self.ask("plugins", code=64)["error"])
        self.assertEqual(self.ask("stats", "--socket", self.socket_of(two))["pipeline"], "two")
        self.stop(two)
        self.assertEqual(self.ask("stats")["pipeline"], "one")
        self.stop(one)

    def test_none_is_a_sentence_that_says_where_it_looked(self):
        code, out, err = self.gpuq("swap", "a")
        self.assertEqual((code, out), (69, b""))
        for text in ("gpuq swap: ", self.runtime, "--socket"):
            self.assertIn(text, err)
        self.assertEqual(self.ask("swap", "a", code=69)["status"], "GQ_ERR_UNAVAILABLE")
        self.assertEqual(self.gpuq("swap", "--socket", self.path("none"), "a")[0], 69)
        code, _, err = self.gpuq("swap", "--socket", self.file, "a")
        self.assertEqual((code, err.split(";")[0]), (69, f"gpuq swap: {self.file} is no socket"))

    def test_what_answers_and_is_no_pipeline_is_said_to_be_none(self):
        for answer in (b"hello\n\n", b"done\n\n", b"done exit_code=0\n\n", b"\n\n"):
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(self.path("other"))
                server.listen()
                client = self.start("swap", "--socket", self.path("other"), "a")
                peer, _ = server.accept()
                with peer:
                    peer.recv(1000)
                    peer.sendall(answer)
                    code, _, err = self.finish(client)
            self.assertEqual((code, err), (70, "gpuq swap: what answered at the control socket is no pipeline of this release\n"), answer)
            os.remove(self.path("other"))

    @unittest.skipUnless(ROOT, "only root can be somebody else")
    def test_others_are_refused_even_where_the_mode_lets_them_in(self):
        run = self.running(self.control("open.sock"), ready=False)
        path = self.path("open.sock")
        self.assertTrue(until(lambda: os.path.exists(path)), self.said)
        os.chmod(self.folder, 0o755)
        script = ("import os, socket, sys\nos.setgroups([int(g) for g in sys.argv[3:]]); os.setgid(int(sys.argv[2])); os.setuid(65534)\n"
                  "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                  "try: s.sendall(b'reload\\n')\nexcept BrokenPipeError: pass\nprint(s.recv(4096).decode())\n")
        def asked(gid, *groups):
            done = subprocess.run([sys.executable, "-c", script, path, str(gid), *map(str, groups)], capture_output=True, text=True, check=False)
            return done.stdout + done.stderr
        group = os.stat(path).st_gid
        self.assertIn("PermissionError", asked(65534))
        self.assertIn('status="GQ_OK"', asked(group))
        self.assertIn('status="GQ_OK"', asked(65534, group))
        os.chmod(path, 0o666)
        said = asked(65534)
        self.assertIn('status="GQ_ERR_UNAVAILABLE"', said)
        self.assertIn("user 65534 may not control this pipeline", said)
        self.assertEqual(self.gpuq("stats", "--socket", path)[0], 0)
        self.assertEqual([line["uid"] for line in self.audit(run, 2, command="reload")], [65534, 65534])
        self.stop(run)


class Hangup(Operated):
    def setUp(self):
        super().setUp()
        self.a, self.b = self.letter("a", "a"), self.letter("b", "b")

    def stages(self, plugin):
        return self.pipeline([{"name": "s", "plugin": plugin}], source=self.SOURCE)

    def test_it_reloads(self):
        run = self.running(self.stages(self.a))
        self.assertTrue(self.last_letters("a"))
        run.send_signal(signal.SIGHUP)
        self.assertEqual(self.audit(run, command="reload")[0]["outcome"], "unchanged")
        self.stages(self.b)
        run.send_signal(signal.SIGHUP)
        self.assertTrue(self.last_letters("b"))
        line = self.audit(run, command="reload", outcome="live")[0]
        self.assertEqual((line["by"], line["uid"], line["pid"]), ("signal", os.getuid(), run.pid))
        self.stop(run)

    def test_one_that_is_refused_says_why_on_the_log(self):
        run = self.running(self.stages(self.a))
        self.stages(self.write("wrong.cu", harness.PLUGIN + "wrong\n"))
        run.send_signal(signal.SIGHUP)
        self.assertEqual(self.audit(run, command="reload")[0]["outcome"], "refused")
        self.assertTrue(until(lambda: any("wrong.cu:2:" in line for line in self.said[run.pid])), self.said)
        self.assertTrue(self.last_letters("a"))
        self.stop(run)

    @staticmethod
    def blocks_hangups(process):
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            return any(line.startswith("SigBlk:") and int(line.split()[1], 16) & 1 for line in status)

    def test_one_during_the_start_is_served_after_it(self):
        run = self.running(self.stages(self.a), env={"GPUQ_CACHE": "off"}, ready=False)
        self.assertTrue(until(lambda: self.blocks_hangups(run)))  # before, it is the loader's
        for _ in range(40):
            run.send_signal(signal.SIGHUP)
            time.sleep(0.002)
        self.assertEqual(self.audit(run, command="reload")[0]["outcome"], "unchanged")
        self.assertTrue(self.last_letters("a"))
        self.stop(run)

    def test_many_never_end_it(self):
        run = self.running(self.stages(self.a))
        for i in range(200):
            run.send_signal(signal.SIGHUP)
            if i % 20 == 0:
                self.stages(self.b if i % 40 else self.a)
        self.assertTrue(self.audit(run, command="reload"))
        self.assertEqual(self.gpuq("stats")[0], 0)
        self.stop(run)


harness.main()
