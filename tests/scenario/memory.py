#!/usr/bin/env python3
"""memory.py - memory does not grow with the input: 20 MiB and 2 GiB through an echo take the same, under 200 MiB in all on the CPU backend (a
driver takes what it takes)."""
import os
import time
import harness

LIMIT = 200 << 20
NOISE = 16 << 20


def proportional(pid):
    """Bytes of a process, what it shares with others counted in parts."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


class Memory(harness.Scenario):
    def peak(self, size, capacity, slot_bytes):
        path = self.path("in")
        with open(path, "wb") as file:
            file.truncate(size)  # a sparse file: zeros
        source = {"file": {"path": path, "split": "fixed", "record_bytes": slot_bytes}}
        pipeline = self.pipeline([{"plugin": "builtin:echo"}], source=source, sink={"null": {}},
                                 queue={"capacity": capacity, "slot_bytes": slot_bytes})
        self.run_ok(self.pipeline([{"plugin": "builtin:echo"}], source={"stdin": {}}, sink={"null": {}}, name="warm"))
        process = self.start("run", "--json", "--threads", "2", pipeline)
        most = 0
        while process.poll() is None:
            most = max(most, sum(map(proportional, harness.session_members(process.pid))))
            time.sleep(0.01)
        code, _, err = self.finish(process)
        self.assertEqual(code, 0, err)
        self.assertIn(f'"bytes_in": {size}', err)
        os.remove(path)
        return most

    def test_two_gibibytes_take_no_more_than_twenty_mebibytes(self):
        for capacity, slot_bytes in ((64, 65536), (4096, 1024)):
            small = 0
            for _ in range(20):  # a busy machine may be through with it before anybody looks
                small = small if small > 1 << 20 else self.peak(20 << 20, capacity, slot_bytes)
            large = self.peak(2 << 30, capacity, slot_bytes)
            print(f"{capacity} slots of {slot_bytes} bytes: peak of all processes {small >> 20} MiB for 20 MiB, {large >> 20} MiB for 2 GiB")
            self.assertGreater(small, 1 << 20)
            if harness.BACKEND == "cpu":
                self.assertLess(large, LIMIT)
            self.assertLess(large - small, NOISE)


harness.main()
