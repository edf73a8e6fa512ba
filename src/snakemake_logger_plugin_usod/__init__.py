"""Snakemake's `--logger usod`: what happens in a run, as one JSON object a line, for `usod run` to show.

Snakemake finds a logger by the name of its package. The lines go to the open file whose number USOD_EVENTS names; the
whole text stays in Snakemake's own log file.
"""

import json
import logging
import os
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

EVENTS = "USOD_EVENTS"


class LogHandler(LogHandlerBase):
    """Hands on each record's event and the few fields that a progress display needs."""

    def __post_init__(self) -> None:
        if not os.environ.get(EVENTS, "").isdigit():
            raise WorkflowError("--logger usod is what `usod run` gives Snakemake, and works there only; leave it out")
        self._stream = os.fdopen(int(os.environ[EVENTS]), "w", encoding="utf-8", buffering=1)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; when nobody reads any more, nothing."""
        try:
            self._stream.write(json.dumps(_described(record)) + "\n")
        except BrokenPipeError:
            pass  # `usod run` is gone; the jobs are none the worse for it
        except Exception:
            self.handleError(record)

    # True, or Snakemake would write the same in full to standard error, where the workflow's own last words go.
    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False


def _described(record: logging.LogRecord) -> dict[str, Any]:
    event = getattr(record, "event", None)
    facts: dict[str, Any] = {"event": str(event) if event else None, "level": record.levelname}
    if event in (LogEvent.JOB_INFO, LogEvent.JOB_ERROR):
        facts["job"] = record.__dict__["jobid"]
        facts["rule"] = record.__dict__["rule_name"]
        facts["wildcards"] = [str(value) for value in dict(record.__dict__.get("wildcards") or {}).values()]
        facts["reason"] = str(record.__dict__.get("reason") or "")
        facts["logs"] = [str(file) for file in record.__dict__["log"]]
    elif event == LogEvent.JOB_STARTED:
        facts["jobs"] = list(record.__dict__["jobs"])
    elif event == LogEvent.JOB_FINISHED:
        facts["job"] = record.__dict__["job_id"]
    elif event == LogEvent.PROGRESS:
        facts |= {"done": record.__dict__["done"], "total": record.__dict__["total"]}
    elif event == LogEvent.RUN_INFO:
        facts |= {"total": record.__dict__["stats"]["total"], "text": record.getMessage()}
    elif event == LogEvent.ERROR:
        facts |= {"exception": record.__dict__["exception"], "text": record.getMessage()}
    elif event is None:
        facts["text"] = str(record.msg) if record.msg else ""
    return facts
