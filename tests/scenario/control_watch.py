#!/usr/bin/env python3
"""control_watch.py - gpuq run --watch: what is saved goes live, however it is saved; what is touched, half-written or unrelated
changes nothing; what is broken is refused with its line, and mended by the next save."""
import json
import os
import shutil
import time
import harness
from harness import until
from operated import Operated

QUIET = 0.4  # long enough for a watch that reacts by mistake to say so


class Watch(Operated):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("home"))
        os.mkdir(self.path("home/plugins"))
        self.text = harness.PLUGIN + '#include "letter.h"\n__device__ void process_message(const MsgView &in, ResultView *out)\n' \
                                     "{ out->out[0] = LETTER; *out->out_len = 1; }\n"
        self.header("a")
        self.write("home/plugins/s.cu", self.text)
        self.file = self.config()
        self.run_ = self.running(self.file, "--watch")
        self.assertTrue(self.last_letters("a"), self.said)

    def tearDown(self):
        self.stop(self.run_)
        super().tearDown()

    def config(self, **keys):
        stage = {"plugin": "plugins/s.cu", **keys}
        return self.write("home/w.yaml", json.dumps({"version": 1, "stages": [stage], "source": self.SOURCE,
                                                     "sink": {"file": {"path": self.out, "join": "lines"}}}))

    def header(self, letter, name="home/plugins/letter.h"):
        self.write(name, f"#define LETTER '{letter}'\n")

    def body(self, letter):
        """A plugin that needs no header."""
        return self.text.replace('#include "letter.h"\n', "").replace("LETTER", f"'{letter}'")

    def lines(self):
        return [line for line in self.said[self.run_.pid] if line.startswith("audit ")]

    def goes_live(self, letter):
        self.assertTrue(self.last_letters(letter), (letter, self.said[self.run_.pid]))

    def nothing_happens(self):
        before = self.lines()
        time.sleep(QUIET)
        self.assertEqual(self.lines(), before)

    def settles(self):
        """Waits until the watch says nothing more: a result may be seen before the swap that it comes from is said."""
        def quiet():
            before = self.lines()
            time.sleep(QUIET)
            return self.lines() == before
        self.assertTrue(until(quiet), self.lines())

    def test_a_plugin_that_is_saved(self):
        self.write("home/plugins/s.cu", self.body("b"))
        self.goes_live("b")
        line = self.audit(self.run_, by="watch")[0]
        self.assertEqual((line["command"], line["stage"], line["outcome"], line["version"], line["pid"]), ("swap", "s", "live", 2, self.run_.pid))

    def test_a_header_that_is_saved(self):
        self.header("b")
        self.goes_live("b")
        self.audit(self.run_, by="watch", outcome="live")  # results may come before it
        self.assertEqual(len(self.lines()), 1)

    def test_a_parameter_in_the_pipeline_file(self):
        self.write("home/plugins/s.cu", self.text.replace("LETTER", "GQ_PARAM(letter, 'p')"))
        self.goes_live("p")
        self.config(params={"letter": ord("q")})
        self.goes_live("q")
        self.assertEqual(self.audit(self.run_, by="watch", command="reload")[0]["outcome"], "live")

    def test_settings_in_the_pipeline_file(self):
        self.write("home/w.yaml", json.dumps({**json.loads(self.read("home/w.yaml")), "swap": {"rehearse": "off"}}))
        line, = self.audit(self.run_, by="watch", command="reload")
        self.assertEqual((line["outcome"], line["settings"]), ("unchanged", "true"))

    def test_a_pipeline_file_that_names_another_plugin(self):
        self.write("home/plugins/t.cu", self.body("t"))
        self.nothing_happens()
        self.config(plugin="plugins/t.cu", name="s")
        self.goes_live("t")
        self.write("home/plugins/t.cu", self.body("u"))  # which is watched from now on
        self.goes_live("u")
        self.settles()
        self.write("home/plugins/s.cu", self.body("v"))  # and this one no more
        self.nothing_happens()

    def test_a_file_swapped_to_by_hand_is_the_one_that_is_watched(self):
        self.write("home/h.cu", self.body("h"))
        self.ask("swap", "s", self.path("home/h.cu"))
        self.goes_live("h")
        time.sleep(0.2)
        self.write("home/h.cu", self.body("i"))
        self.goes_live("i")

    def test_broken_then_good(self):
        self.write("home/plugins/s.cu", self.text + "wrong\n")
        line = self.audit(self.run_, by="watch", outcome="refused")[0]
        self.assertEqual((line["step"], line["status"]), ("build", "GQ_ERR_PLUGIN"))
        self.assertTrue(until(lambda: any("s.cu:5:" in said for said in self.said[self.run_.pid] if not said.startswith("audit "))), self.said)
        self.goes_live("a")
        self.write("home/plugins/s.cu", self.body("g"))
        self.goes_live("g")

    def test_what_a_compiler_quotes_forges_no_audit_line(self):
        self.write("home/plugins/s.cu", self.text + '#line 1 "x\\naudit by=\\"socket\\" outcome=\\"live\\"\\n"\nwrong\n')
        self.audit(self.run_, by="watch", outcome="refused")
        self.assertTrue(until(lambda: any(said.startswith(" audit by=") for said in self.said[self.run_.pid])), self.said)
        self.assertEqual(len(self.lines()), 1)

    def test_a_header_that_was_missing(self):
        self.write("home/plugins/s.cu", self.text.replace("letter.h", "new.h"))
        self.audit(self.run_, by="watch", outcome="refused")
        self.header("n", "home/plugins/new.h")
        self.goes_live("n")

    def test_a_header_that_comes_while_its_includer_is_refused(self):
        for round_ in range(8):  # each at another moment of the refusal
            name, letter = f"new{round_}.h", "nopq"[round_ % 4]
            self.write("home/plugins/s.cu", self.text.replace("letter.h", name))
            time.sleep(0.01 + 0.02 * round_)
            self.header(letter, "home/plugins/" + name)
            self.goes_live(letter)

    def test_a_header_that_is_included_since_the_last_save(self):
        self.header("z", "home/plugins/other.h")
        self.write("home/plugins/s.cu", self.text.replace("letter.h", "other.h"))
        self.goes_live("z")
        self.header("y", "home/plugins/other.h")
        self.goes_live("y")

    def test_a_pipeline_file_that_is_broken_then_good(self):
        whole = self.read("home/w.yaml")
        self.write("home/w.yaml", "version: 1\nstages: [\n")
        self.assertEqual(self.audit(self.run_, by="watch", command="reload")[0]["status"], "GQ_ERR_CONFIG")
        self.write("home/w.yaml", whole)
        self.config(params={})
        self.nothing_happens()
        self.goes_live("a")

    def test_a_rename_over_and_a_link_that_turns(self):
        self.write("home/plugins/.s.cu.tmp", self.body("r"))
        os.rename(self.path("home/plugins/.s.cu.tmp"), self.path("home/plugins/s.cu"))
        self.goes_live("r")
        os.mkdir(self.path("store"))
        for letter in "xy":
            self.write(f"store/{letter}.cu", self.body(letter))
        for letter in "xy":
            os.symlink(self.path(f"store/{letter}.cu"), self.path("home/plugins/link"))
            os.rename(self.path("home/plugins/link"), self.path("home/plugins/s.cu"))
            self.goes_live(letter)
        self.write("store/y.cu", self.body("w"))  # what the link leads to
        self.goes_live("w")

    def test_a_folder_behind_a_link_that_turns(self):
        for letter in "mn":
            os.mkdir(self.path(f"home/{letter}"))
            self.write(f"home/{letter}/s.cu", self.body(letter))
        os.rename(self.path("home/plugins"), self.path("home/old"))
        for letter in "mn":
            os.symlink(letter, self.path("home/next"))
            os.rename(self.path("home/next"), self.path("home/plugins"))
            self.goes_live(letter)

    def test_a_folder_that_is_removed_and_made_again(self):
        shutil.rmtree(self.path("home/plugins"))
        self.nothing_happens()
        os.mkdir(self.path("home/plugins"))
        self.header("a")
        self.write("home/plugins/s.cu", self.body("f"))
        self.goes_live("f")
        shutil.rmtree(self.path("home/plugins"))
        os.mkdir(self.path("away"))
        self.write("away/s.cu", self.body("e"))
        os.rename(self.path("away"), self.path("home/plugins"))
        self.goes_live("e")

    def test_what_changes_nothing(self):
        folder = self.path("home/plugins/")
        os.utime(folder + "s.cu")
        self.write("home/plugins/s.cu", self.text)
        self.write("home/w.yaml", self.read("home/w.yaml"))
        for name in (".s.cu.swp", "4913", "s.cu~", "#s.cu#", ".#s.cu", "s.cu.bak", "t.cu", "other.h"):
            self.write("home/plugins/" + name, "garbage")
            os.remove(folder + name)
        os.chmod(folder + "s.cu", 0o600)
        os.rename(folder + "s.cu", folder + "s.cu~")  # as editors keep the old one
        os.rename(folder + "s.cu~", folder + "s.cu")
        os.remove(folder + "letter.h")
        self.header("a")
        self.nothing_happens()
        self.assertEqual(self.lines(), [])

    def test_a_file_that_is_still_being_written(self):
        with open(self.path("home/plugins/s.cu"), "w", encoding="ascii") as file:
            file.write(self.body("k")[:40])
            file.flush()
            self.nothing_happens()
            file.write(self.body("k")[40:])
            file.flush()
            self.nothing_happens()
        self.goes_live("k")
        self.audit(self.run_, by="watch", outcome="live")
        self.assertEqual(len(self.lines()), 1)

    def test_many_saves_at_once_are_few_swaps(self):
        for i in range(200):
            self.header("abcdefgh"[i % 8])
        self.header("z")  # no earlier save can be taken for the last one
        self.goes_live("z")
        self.settles()
        self.assertEqual(self.audit(self.run_, by="watch")[-1]["outcome"], "live", self.lines())
        self.assertLess(len(self.lines()), 60)

    def test_a_save_that_saves_both_files(self):
        self.write("home/plugins/s.cu", self.text.replace("LETTER", "GQ_PARAM(letter, LETTER)"))
        self.config(params={"letter": ord("j")})
        self.goes_live("j")


class NoWatch(Operated):
    def test_without_the_option_nothing_is_watched(self):
        name = self.letter("a", "a")
        run = self.running(self.pipeline([{"plugin": name}], source=self.SOURCE))
        self.assertTrue(self.last_letters("a"))
        self.letter("a", "b")
        time.sleep(QUIET)
        self.assertTrue(self.last_letters("a"))
        self.stop(run)


harness.main()
