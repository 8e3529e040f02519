#!/usr/bin/env python3
"""control_hostile.py - peers of a control socket that send garbage, half a request, nothing, or go away in the middle: others are
served, messages flow, and the next swap works."""
import json
import os
import random
import signal
import socket
import threading
import time
import harness
from harness import until
from operated import Operated

MOMENTS = 12
SEED = int(os.environ.get("GPUQ_SEED", "1"))


class Hostile(Operated):
    def setUp(self):
        super().setUp()
        self.a, self.b = self.letter("a", "a"), self.letter("b", "b")
        self.run_ = self.running(self.pipeline([{"plugin": self.a}], source=self.SOURCE))

    def tearDown(self):
        self.assertEqual(self.gpuq("stats")[0], 0)
        self.ask("swap", "a", self.b)
        self.assertTrue(self.last_letters("b"))
        self.stop(self.run_)
        self.assertRegex(self.read().decode(), r"\A(a\n)*(b\n)+\Z")
        super().tearDown()

    def test_garbage_is_answered_once_and_the_line_is_cut(self):
        print(f"seed {SEED}")
        draw = random.Random(SEED)
        lines = [b"\x00" * 10, b"GET / HTTP/1.1\r", b"swap stage=\"", b"SWAP", b"", b"{\"command\": \"swap\"}", b"\xff\xfe\xfd", b"done"]
        lines += [bytes(draw.choices([c for c in range(256) if c != 10], k=draw.randrange(1, 2000))) for _ in range(50)]
        for line in lines:
            s = self.connect(self.run_)
            s.sendall(line + b"\n")
            (word, fields), *rest = self.answer(s)
            self.assertEqual((word, fields["status"], fields["exit_code"], rest), ("done", "GQ_ERR_INVALID_ARG", 64, []), line)

    def test_requests_that_are_almost_right(self):
        s = self.connect(self.run_)
        for line in ("swap", "swap stage=a speed=9", "use stage=a", "use stage=a version=-1", "use stage=a version=1.5", "plugins stage=a",
                     "swap stage=a rehearse=perhaps", "swap stage=a file=relative.cu", "swap stage=\"\"", "use stage=a version=4294967296"):
            s.sendall(line.encode() + b"\n")
            self.assertNotEqual(self.answer(s)[0][1]["exit_code"], 0, line)
        for count, said in ((32, "stats does not take all of the fields given"), (33, "the request has more than 32 fields")):
            other = self.connect(self.run_)
            other.sendall(b"stats" + b"".join(b" f%d=1" % i for i in range(count)) + b"\n")
            self.assertEqual(self.answer(other)[0][1]["error"], said)
        s.sendall(b"stats\nplug")  # two requests, cut anywhere
        self.assertEqual(self.answer(s)[0][1]["status"], "GQ_OK")
        s.sendall(b"ins\n")
        self.assertEqual(self.answer(s)[1][0], "version")

    def test_a_line_without_end_is_refused(self):
        s = self.connect(self.run_)
        refused = []
        def send():
            try:
                while True:
                    s.sendall(b"x" * 65536)
            except OSError as error:
                refused.append(error)
        thread = threading.Thread(target=send)
        thread.start()
        self.assertIn("longer than 65536 bytes", self.answer(s)[0][1]["error"])
        thread.join(20)
        self.assertTrue(refused)

    def test_a_hundred_that_say_nothing_keep_nobody_out(self):
        silent = [self.connect(self.run_) for _ in range(100)]
        half = silent[-1]
        half.sendall(b"sta")
        for _ in range(5):
            start = time.monotonic()
            self.assertEqual(self.gpuq("stats")[0], 0)
            self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(self.live("a")["version"], 1)
        with open(f"/proc/{self.run_.pid}/status", encoding="ascii") as status:
            threads, = [int(line.split()[1]) for line in status if line.startswith("Threads:")]
        self.assertLess(threads, 32)

    def test_who_loses_its_place_is_told_so(self):
        """It may have been about to ask, and would else say that the pipeline had ended."""
        first = self.connect(self.run_)
        others = [self.connect(self.run_) for _ in range(16)]
        (word, fields), = self.answer(first)
        self.assertEqual((word, fields["status"]), ("done", "GQ_ERR_FULL"))
        self.assertIn("others needed this connection's place", fields["error"])
        self.assertEqual(len(others), 16)

    def test_who_was_answered_and_loses_its_place_reads_no_second_answer(self):
        first = self.connect(self.run_)
        first.sendall(b"stats\n")
        self.assertEqual(self.answer(first)[0][1]["status"], "GQ_OK")
        others = [self.connect(self.run_) for _ in range(32)]  # the server may have sent the answer, and not know yet that it waits
        self.assertEqual((first.recv(1), len(others)), (b"", 32))

    def test_one_that_is_silent_is_given_up(self):
        s = self.connect(self.run_)
        s.sendall(b"sta")
        (_, fields), = self.answer(s)  # a half of a request: ten seconds
        self.assertEqual(fields["status"], "GQ_ERR_TIMEOUT")
        self.assertEqual(s.recv(1), b"")

    def test_one_that_does_not_read_is_given_up(self):
        s = self.connect(self.run_)
        s.settimeout(0.5)
        request = b"plugins\n" * 1000
        stuck = 0
        try:
            for _ in range(1000):
                s.sendall(request)
        except (TimeoutError, OSError):
            stuck = 1
        self.assertEqual(stuck, 1)
        self.assertEqual(self.gpuq("stats")[0], 0)

    def test_clients_killed_at_every_step_of_a_swap(self):
        start = time.monotonic()
        new = f"// {start}: never built before\n"
        self.ask("swap", "a", self.letter("k", "a", new))
        took = time.monotonic() - start
        for i in range(MOMENTS):
            client = self.start("swap", "a", self.letter(f"k{i}", "a", new))
            time.sleep(took * i / MOMENTS)
            client.send_signal(signal.SIGKILL)
            client.wait()
            size = os.path.getsize(self.out)
            self.assertEqual(self.live("a")["state"], "live")  # somebody serves,
            self.assertTrue(until(lambda: os.path.getsize(self.out) > size))
            self.ask("swap", "a", self.a)  # and the next one goes live, when what was asked for before has ended
            self.assertEqual(self.live("a")["plugin"], self.a)
        self.assertFalse([line for line in self.said[self.run_.pid] if 'outcome="refused"' in line], self.said)
        asked = {line.get("file") for line in self.audit(self.run_, command="swap")}
        self.assertGreater(sum(self.path(f"k{i}.cu") in asked for i in range(MOMENTS)), 2)  # these were too late to be stopped

    def test_many_at_once_are_served_one_after_another(self):
        answers = []
        def swap(file):
            code, out, err = self.gpuq("swap", "--json", "a", file)
            answers.append((code, json.loads(out) if out else err))
        files = [self.letter(f"m{i}", "a", f"// {i}\n") for i in range(6)]
        threads = [threading.Thread(target=swap, args=(file,)) for file in files]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([code for code, _ in answers], [0] * len(files), answers)
        generations = sorted(answer["generation"] for _, answer in answers)
        self.assertEqual(generations, list(range(2, 2 + len(files))))

    def test_a_socket_that_is_closed_at_once(self):
        for _ in range(300):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.socket_of(self.run_))
            s.close()


harness.main()
