import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/jobs.sh"


class JobsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.write("proc/meminfo", "MemTotal: 1 kB\nMemAvailable: 900000000 kB\n")
        # As if there were eight processors.
        self.write("bin/nproc", "#!/bin/sh\necho 8\n")
        (self.root / "bin/nproc").chmod(0o755)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def jobs(self):
        path = f"{self.root}/bin:{os.environ['PATH']}"
        result = subprocess.run([SCRIPT], env={"ROOT": str(self.root), "PATH": path}, check=True,
                                capture_output=True, text=True)
        self.assertEqual(result.stderr, "")
        return int(result.stdout)

    def test_processors_and_memory_of_the_machine(self):
        self.assertEqual(self.jobs(), 8)
        self.write("proc/meminfo", "MemAvailable: 7000000 kB\n")
        self.assertEqual(self.jobs(), 3)
        self.write("proc/meminfo", "MemAvailable: 70 kB\n")
        self.assertEqual(self.jobs(), 1)

    def test_quotas_of_the_group_and_those_above(self):
        self.write("proc/self/cgroup", "0::/user/job\n")
        self.write("sys/fs/cgroup/user/job/cpu.max", "max 100000\n")
        self.assertEqual(self.jobs(), 8)
        self.write("sys/fs/cgroup/user/cpu.max", "550000 100000\n")
        self.assertEqual(self.jobs(), 6)
        self.write("sys/fs/cgroup/cpu.max", "1000 100000\n")
        self.assertEqual(self.jobs(), 1)

    def test_quotas_of_the_first_version(self):
        self.write("proc/self/cgroup", "4:cpu,cpuacct:/only/the/host/sees/this\n0::/\n")
        self.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
        self.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
        self.assertEqual(self.jobs(), 8)
        self.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "210000\n")
        self.assertEqual(self.jobs(), 3)

    def test_limits_of_memory(self):
        self.write("proc/self/cgroup", "4:memory:/job\n0::/user\n")
        self.write("sys/fs/cgroup/user/memory.max", "9000000000\n")
        self.write("sys/fs/cgroup/user/memory.current", "3000000000\n")
        self.write("sys/fs/cgroup/user/memory.stat", "anon 5\ninactive_file 1000000000\n")
        self.assertEqual(self.jobs(), 3)
        self.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        self.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n")
        self.assertEqual(self.jobs(), 3)
        self.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000000000\n")
        self.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1\n")
        self.assertEqual(self.jobs(), 2)


if __name__ == "__main__":
    unittest.main()
