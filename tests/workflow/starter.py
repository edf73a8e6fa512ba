"""Snakemake, started as often as the tests do: forked from a process that has imported it and has read usod's sources.

A start of its own takes 3 s of CPU for a plan, this one half of it. test_run.py, test_faults.py, test_module.py and
others start Snakemake as users do.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

SERVER = """
import json, os, pkgutil, sys
import smart_open, snakemake.cli
import usod.commands, usod.data.listing, usod.plan, usod.reporting.contents, usod.running.supervise
from usod.provenance import code_digest

snakemake.cli.get_argument_parser()  # imports all plugins
for module in pkgutil.walk_packages(usod.commands.__path__, "usod.commands."):
    code_digest(module.name)
for line in sys.stdin:
    arguments, folder, environment, output = json.loads(line)
    if (child := os.fork()) == 0:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (1, 2):
            os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), number)
        sys.argv[:] = ["snakemake", *arguments]
        sys.exit(snakemake.cli.main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@cache
def _server() -> subprocess.Popen:
    """It ends with this process, which holds the other end of its input."""
    return subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def snakemake(
    arguments: list[str], folder: Path, environment: dict[str, str], output: Path
) -> subprocess.CompletedProcess:
    """`snakemake ARGUMENTS` in a folder; standard output and standard error come back together in `stdout`."""
    output.write_bytes(b"")
    server = _server()
    server.stdin.write(json.dumps([arguments, str(folder), environment, str(output)]) + "\n")
    server.stdin.flush()
    code = int(server.stdout.readline())
    return subprocess.CompletedProcess(["snakemake", *arguments], code, output.read_text(errors="replace"))
