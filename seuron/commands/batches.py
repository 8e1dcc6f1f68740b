"""A batch: runs of which each begins when the one before it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seuron.commands.answers import CANCELLED, FAILED, OK, Answer, Session, answer_of
from seuron.errors import SeuronError


def in_turn(session: Session, starts: Sequence[Callable[[], Answer]]) -> Answer:
    """Run one after the other; each start gives the answer of a run that was followed to its end.

    A run that fails, or cannot be started, does not keep the next ones from starting; one that a person ends does.
    What the runs before came to stays in sight while one is at work. The exit code is the first that is not 0.
    """
    answers: list[Answer] = []
    for number, start in enumerate(starts, start=1):
        answers.append(_run(session, start, f"{number} of {len(starts)}", answers))
        if answers[-1].code == CANCELLED:
            break
    left = len(starts) - len(answers)
    text = _told(answers) + (f"\n{left} not started, as the one before was ended by a person" if left else "")
    code = next((answer.code for answer in answers if answer.failed), OK)
    pictures = [picture for answer in answers for picture in answer.pictures]
    return Answer(text, [answer.data for answer in answers], pictures=pictures, code=code)


def _run(session: Session, start: Callable[[], Answer], which: str, done: Sequence[Answer]) -> Answer:
    from seuron.commands.closing import close_run, follows_a_run

    shown = session.on_progress
    told = _told(done)

    def progress(answer: Answer) -> None:
        if shown is not None:
            words = "\n".join(filter(None, [told, f"{which}: {answer.text}"]))
            shown(Answer(words, answer.data, answer.links, answer.pictures))

    session.on_progress = progress
    try:
        answer = start()
        return close_run(session, answer) if follows_a_run(answer.data) else answer
    except SeuronError as error:
        return Answer(str(error), answer_of(error).data, code=FAILED)
    finally:
        session.on_progress = shown


def _told(answers: Sequence[Answer]) -> str:
    return "\n".join(f"{number}. {answer.text}" for number, answer in enumerate(answers, start=1))
