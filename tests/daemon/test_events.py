import json
import logging

from hangard.daemon.events import EventHandler, EventLog


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_is_one_line_of_json(tmp_path):
    log = EventLog(tmp_path / "logs" / "daemon.log")
    log.write("ready", pid=7, path=tmp_path, digest=b"\x01\x02", names=["a\nb"], more={"x": None})
    log.close()
    (line,) = lines(tmp_path / "logs" / "daemon.log")
    assert line["event"] == "ready"
    assert line["level"] == "info"
    assert (line["pid"], line["digest"], line["names"]) == (7, "0102", ["a\nb"])


def test_a_full_log_file_is_turned_over(tmp_path):
    path = tmp_path / "daemon.log"
    log = EventLog(path, bytes_max=500)
    for number in range(50):
        log.write("tick", number=number)
    log.close()
    assert path.stat().st_size <= 700
    assert (tmp_path / "daemon.log.1").stat().st_size <= 700
    assert len(list(tmp_path.iterdir())) == 2


def test_what_libraries_log_lands_in_the_same_file(tmp_path):
    log = EventLog(tmp_path / "daemon.log")
    logger = logging.getLogger("hangard-test-library")
    handler = EventHandler(log)
    logger.addHandler(handler)
    try:
        logger.warning("careful %s", "there")
        logger.info("not this")
    finally:
        logger.removeHandler(handler)
        log.close()
    (line,) = lines(tmp_path / "daemon.log")
    assert (line["event"], line["message"]) == ("log", "careful there")


def test_a_closed_standard_error_stops_nothing(monkeypatch, tmp_path):
    stream = (tmp_path / "closed").open("w")
    stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    EventLog().write("ready")
