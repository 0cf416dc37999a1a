"""Methods side by side: their scores on the same test speakers, as tables, beside published figures."""
