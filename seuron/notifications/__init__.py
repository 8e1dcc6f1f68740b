"""Notifications of how runs end, and of what goes wrong meanwhile: Slack, e-mail, webhooks, the log.

    settings.py         who is notified of what, from a typed file
    notices.py          the contents: the cause, and what happens next
    deduplication.py    the same cause again within a while is counted, not sent
    notifiers.py        the channels that send it
    dispatch.py         all of it together: `notify(notice)`, `notify_end(run)`
    holds.py            runs that wait, for a budget or for the person who paused them, and that continue

Nothing is imported here: the DAG, which every task process parses, asks settings.py for a name.
"""
