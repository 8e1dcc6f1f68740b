"""Telling people how runs end, and what goes wrong meanwhile: Slack, e-mail, webhooks, the log.

    settings.py    who is told what, from a typed file
    notices.py     what is told: the cause, and what happens next
    folding.py     the same cause again within a while is counted, not told
    notifiers.py   the ways to tell it
    telling.py     all of it together: `tell(notice)`, `tell_end(run)`
    holds.py       runs that wait, for a budget or for the person who paused them, and that go on

Nothing is imported here: the DAG, which every task process parses, asks settings.py for a name.
"""
