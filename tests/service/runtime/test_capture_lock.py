"""A capture is alone, and does not wait for ever."""

import threading
import time

from service.runtime import CaptureLock


def test_users_share_it_and_a_capture_is_alone() -> None:
    lock = CaptureLock(patience=0.01)
    with lock, lock, lock.alone() as is_alone:
        assert not is_alone
    with lock.alone() as is_alone:
        assert is_alone
        with lock.alone() as is_second:
            assert not is_second
        came = threading.Event()

        def use() -> None:
            lock.__enter__()
            came.set()

        user = threading.Thread(target=use)
        user.start()
        assert not came.wait(0.05)
    assert came.wait(10)
    user.join()
    with lock.alone() as is_alone:
        assert not is_alone  # the user is still there
    lock.__exit__()
    with lock.alone() as is_alone:
        assert is_alone


def test_it_never_has_a_capture_beside_a_user() -> None:
    lock = CaptureLock(patience=0.05)
    users, captures, faults = [0], [0], []
    guard = threading.Lock()

    def use() -> None:
        for _ in range(200):
            with lock:
                with guard:
                    users[0] += 1
                if captures[0]:
                    faults.append("a user beside a capture")
                with guard:
                    users[0] -= 1

    def capture() -> None:
        for _ in range(20):
            with lock.alone() as is_alone:
                if is_alone:
                    captures[0] += 1
                    time.sleep(0.0002)
                    if users[0]:
                        faults.append("a capture beside a user")
                    captures[0] -= 1

    threads = [threading.Thread(target=work) for work in (use, use, use, capture, capture)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not faults
    assert not any(thread.is_alive() for thread in threads)
