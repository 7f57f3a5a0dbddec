"""Signals are heard at once, by the process that they are sent to, and by it alone."""

from __future__ import annotations

from support.process import run_python

BEGIN = """
import os, signal, threading, warnings
from rlmesh.server.signals import end_by_signals, signals_heard

heard = []
told = threading.Event()

def hear(number):
    heard.append(number)
    told.set()
"""


def check(program: str) -> None:
    """Runs a program that checks itself."""
    ended = run_python("-c", BEGIN + program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_signal_is_heard_while_the_main_thread_is_in_c_code() -> None:
    check("""
import hashlib
signal.signal(signal.SIGTERM, lambda number, frame: None)
with signals_heard(lambda number: os._exit(0)):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    hashlib.pbkdf2_hmac("sha512", b"password", b"salt", 2**31 - 1)
""")


def test_a_signal_to_a_forked_process_is_its_own() -> None:
    check("""
warnings.simplefilter("ignore", DeprecationWarning)
signal.signal(signal.SIGTERM, lambda number, frame: None)
with signals_heard(hear):
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM, status
assert heard == []
""")


def test_who_listened_before_listens_on() -> None:
    check("""
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.signal(signal.SIGTERM, lambda number, frame: None)
signal.set_wakeup_fd(writer)
with signals_heard(hear):
    os.kill(os.getpid(), signal.SIGTERM)
    assert os.read(reader, 1) == bytes([signal.SIGTERM])
assert heard == [signal.SIGTERM]
assert signal.set_wakeup_fd(-1) == writer
""")


def test_the_handlers_are_given_back() -> None:
    check("""
numbers = (signal.SIGINT, signal.SIGTERM)
before = [signal.getsignal(number) for number in numbers]
with end_by_signals(told.set):
    os.kill(os.getpid(), signal.SIGTERM)
    assert told.wait(20)
assert [signal.getsignal(number) for number in numbers] == before
assert signal.set_wakeup_fd(-1) == -1
""")


def test_signals_of_others_end_nothing() -> None:
    check("""
usr1 = threading.Event()
signal.signal(signal.SIGUSR1, lambda number, frame: usr1.set())
with end_by_signals(told.set):
    os.kill(os.getpid(), signal.SIGUSR1)
    assert usr1.wait(20)
assert not told.is_set()
""")


def test_nothing_is_taken_off_the_main_thread() -> None:
    check("""
before = signal.getsignal(signal.SIGTERM)

def run():
    with end_by_signals(told.set):
        heard.append(signal.getsignal(signal.SIGTERM))

thread = threading.Thread(target=run)
thread.start()
thread.join()
assert heard == [before]
""")
