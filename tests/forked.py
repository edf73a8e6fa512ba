"""`usod`, started as often as the tests do: forked from a process that has imported it, as starter.py does.

A start of its own takes up to 2.5 s of CPU for PyTorch alone. `command` is a script that can be called as `usod` is, by
a test or by the jobs of a workflow: with the same folder, environment, streams, exit codes and signals. The command
line as users start it is in test_run.py, test_devices.py, test_faults.py and others.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

# Begun as pip begins its scripts: the path of a Python may hold blanks, and be longer than a first line may be.
CLIENT = """#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
server.shutdown(socket.SHUT_WR)
told = server.makefile()
child = int(told.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: os.kill(child, number))
sys.exit(int(told.readline() or 137))  # nothing is said by one that was killed
"""
SERVER = """
import atexit, gc, importlib, json, os, pkgutil, signal, socket, sys, traceback
import usod.cli
for module in pkgutil.walk_packages(usod.__path__, "usod."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
gc.freeze()
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(64)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
if os.fork() == 0:
    os.read(0, 1)  # the tests have ended
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(0)
while True:
    connection, _ = server.accept()
    if os.fork():
        connection.close()
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    words, folder, environment = json.loads(connection.makefile().read())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["usod", *words]
    connection.sendall(b"%d\\n" % os.getpid())
    try:
        usod.cli.main()
    except SystemExit as done:
        code = done.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(b"%d\\n" % code)
    os._exit(0)  # to take all modules apart would take longer than most calls
"""


@cache
def command() -> str:
    """The path of a script called `usod`; what it starts ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="usod-"))  # a socket's path may have 100 letters: none of pytest's
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = str(folder / "socket")
    script = folder / "usod"
    script.write_text(CLIENT.format(python=sys.executable, address=address))
    script.chmod(0o755)
    # One thread: what is forked has none of the others.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, address],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    _kept.append(server)
    return str(script)


_kept: list[subprocess.Popen] = []
