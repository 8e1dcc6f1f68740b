"""A batch: runs of which each begins when the one before it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from seuron.commands.answers import CANCELLED, FAILED, OK, Answer, FollowedRun, Session, answer_of
from seuron.errors import SeuronError


def run_in_sequence(session: Session, starts: Sequence[Callable[[], Answer]], before: Sequence[Answer] = ()) -> Answer:
    """Run one after the other; each start gives the answer of a run that was followed to its end.

    A run that fails, or cannot be started, does not keep the next ones from starting; one that a person ends does.
    The answers for the runs before stay visible while one is running; `before` are those of the batch that are done
    already. The exit code is the first that is not 0.
    """
    answers, number = list(before), len(before) + len(starts)
    for start in starts:
        answers.append(_run(session, start, number, answers))
        if answers[-1].code == CANCELLED:
            break
    left = number - len(answers)
    text = _numbered(answers) + (f"\n{left} not started, as the one before was ended by a person" if left else "")
    code = next((answer.code for answer in answers if answer.failed), OK)
    pictures = [picture for answer in answers for picture in answer.pictures]
    return Answer(text, [answer.data for answer in answers], pictures=pictures, code=code)


def _run(session: Session, start: Callable[[], Answer], number: int, done: Sequence[Answer]) -> Answer:
    from seuron.commands.summary import with_summary

    with _in_a_batch(session, number, tuple(done)):
        try:
            return with_summary(session, start())
        except SeuronError as error:
            return Answer(str(error), answer_of(error).data, code=FAILED)


@contextmanager
def _in_a_batch(session: Session, number: int, done: tuple[Answer, ...]) -> Iterator[None]:
    """Put the answers for the runs before in front of the progress of a run; its pictures get a folder of their own."""
    shown, followed, pictures = session.on_progress, session.on_follow, session.pictures
    which, earlier = len(done) + 1, _numbered(done)

    def progress(answer: Answer) -> None:
        if shown is not None:
            words = "\n".join(filter(None, [earlier, f"{which} of {number}: {answer.text}"]))
            shown(Answer(words, answer.data, answer.links, answer.pictures))

    def follow(run: FollowedRun) -> None:
        if followed is not None:
            followed(replace(run, before=tuple((answer.text, answer.code) for answer in done)))

    session.on_progress, session.on_follow = progress, follow
    session.pictures = None if pictures is None else pictures / str(which)
    try:
        yield
    finally:
        session.on_progress, session.on_follow, session.pictures = shown, followed, pictures


def _numbered(answers: Sequence[Answer]) -> str:
    return "\n".join(f"{number}. {answer.text}" for number, answer in enumerate(answers, start=1))
