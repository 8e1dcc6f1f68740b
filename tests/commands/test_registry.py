"""Finding commands by what people say, and their parameters in the words behind."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.client import connect
from seuron.commands import (
    BAD_PARAMETERS,
    NOT_FOUND,
    Answer,
    Argument,
    Command,
    Session,
    UnknownCommandError,
    Values,
    command_named,
    commands,
    execute,
    find,
    parse_arguments,
)
from seuron.commands.registry import add, phrases
from seuron.commands.run_parameters import parameter_sets
from seuron.errors import ParameterErrors

#: What users of the reference say (its appendix), for all that there is here as well.
SAID_BEFORE = {
    "cancel run": "cancel",
    "show segmentation parameters": "params show",
    "update parameters": "params set",
    "please update parameters": "params set",
    "update segmentation parameters": "params set",
    "please update segmentation parameters": "params set",
    "run segmentation": "run segmentation",
    "run segmentations": "run segmentation",
    "run pipeline": "run segmentation",
    "airflow": "links",
    "show airflow": "links",
    "help": "help",
}


@pytest.mark.parametrize(("said", "name"), SAID_BEFORE.items())
def test_the_references_phrases_are_understood(said: str, name: str) -> None:
    """Users of the reference system keep the words that they know."""
    assert find(said.split())[0].name == name


@given(st.sampled_from(sorted(phrases())), st.lists(st.text("xyz=", min_size=1, max_size=5), max_size=3))
def test_every_phrase_finds_its_command(phrase: str, rest: list[str]) -> None:
    """Any phrase in any case finds its command, with or without a please, and what is behind it is kept."""
    for words in (phrase.split(), ["Please,", *phrase.upper().split()]):
        made, left = find([*words, *rest])
        assert made is phrases()[phrase]
        assert left == rest


def test_every_command_is_explained() -> None:
    """Each has a sentence, a right that it takes, and a sentence for each of its parameters."""
    for made in commands():
        assert made.summary.endswith((".", ")")), made.name
        assert made.permission in ("look", "run", "machines", "admin")
        assert made.name in made.usage
        for parameter in made.parameters:
            assert parameter.takes_values or parameter.argument.help, f"{made.name} {parameter.name}"


@pytest.mark.parametrize(
    ("said", "near"), [("cancle run", "cancel run"), ("run segmentatoin", "run segmentation"), ("statsu", "status")]
)
def test_a_mistyped_command_gets_a_suggestion(said: str, near: str) -> None:
    """The phrase that is near comes first; nothing is run by a guess."""
    with pytest.raises(UnknownCommandError) as error:
        find(said.split())
    assert error.value.suggestions[0] == near
    assert f"did you mean '{near}'" in str(error.value)


def test_the_beginning_of_a_group_lists_it() -> None:
    """`params` alone is no command: those that begin so are named."""
    with pytest.raises(UnknownCommandError) as error:
        find(["params"])
    assert {"params show", "params explain"} <= set(error.value.suggestions)


def test_a_phrase_belongs_to_one_command() -> None:
    """A second command for the same words is refused when it is registered."""
    with pytest.raises(ValueError, match="'cancel run' of 'cancel run' is that of 'cancel'"):
        add(Command("cancel run", (), "run", "", lambda session: Answer("")))


def greet(
    session: Session,
    name: Annotated[str, Argument("who")],
    times: Annotated[int, Argument("how often")] = 1,
    *,
    loud: Annotated[bool, Argument("in capitals")] = False,
    tone: Annotated[Literal["warm", "cold"], Argument("how")] = "warm",
    file: Annotated[str, Argument("where to", local_only=True)] = "",
) -> Answer:
    """Greet somebody."""
    return Answer(name)


def gather(session: Session, *, name: Annotated[list[str] | None, Argument("who")] = None) -> Answer:
    """Gather several."""
    return Answer("")


def test_a_list_is_given_word_by_word() -> None:
    """A parameter that is a list may be given as often as one likes, in order; others once only."""
    made = Command("gather", (), "look", "", gather)
    assert parse_arguments(made, ["name=ada", "name=bob", "name=ada"]) == {"name": ["ada", "bob", "ada"]}
    assert parse_arguments(made, []) == {}
    assert made.usage == "gather [name=...]"


def make(
    session: Session,
    values: Values,
    against: Annotated[str, Argument("what")] = "",
    *,
    wait: Annotated[bool, Argument("wait")] = True,
) -> Answer:
    """Make something."""
    return Answer("")


GREET = Command("greet", (), "look", "", greet)
MAKE = Command("make", (), "run", "", make)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("ada", {"name": "ada"}),
        ("ada 3 loud", {"name": "ada", "times": 3, "loud": True}),
        ("times=2 ada loud=no tone=cold", {"name": "ada", "times": 2, "loud": False, "tone": "cold"}),
        ("name=ada 3", {"name": "ada", "times": 3}),
        ("'ada of lovelace'", {"name": "ada of lovelace"}),
        ("--times=2 ada", {"name": "ada", "times": 2}),
    ],
)
def test_words_become_parameters(words: str, given: dict[str, object]) -> None:
    """By place, by name, flags alone: the signature says what each word is and of what type."""
    assert parse_arguments(GREET, shlex.split(words)) == given


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "NAME is missing (who)"),
        ("ada x", "`times`: got 'x'; expected a whole number"),
        ("ada tone=wram", "did you mean warm?"),
        ("ada tone=blue", "allowed are warm, cold"),
        ("ada 1 2", "'2' is one word too many"),
        ("ada tmies=3", "did you mean `times`?"),
        ("ada name=bob", "`name` is given twice"),
        ("ada file=/etc/passwd", "has no parameter `file`"),
        ("ada loud=perhaps", "expected yes or no"),
    ],
)
def test_wrong_words_are_reported(words: str, said: str) -> None:
    """What was wrong, what was given, what is allowed; a parameter of the user's machine is none in a chat."""
    with pytest.raises(ParameterErrors) as error:
        parse_arguments(GREET, shlex.split(words))
    assert said in str(error.value)


def test_all_wrong_words_are_reported_at_once() -> None:
    """Nobody should have to come back three times."""
    with pytest.raises(ParameterErrors) as error:
        parse_arguments(GREET, ["tone=blue", "tmies=3"])
    assert len(error.value.problems) == 3


@given(st.dictionaries(st.text("abcdef", min_size=2, max_size=6), st.integers() | st.text("xyz", min_size=1)))
def test_other_settings_are_the_pipelines(values: dict[str, int | str]) -> None:
    """What is no parameter of the command is one of the pipeline, as JSON where it is that; words win over a file."""
    words = [f"{name}={value}" for name, value in values.items()]
    attached = dict.fromkeys(values, "old") | {"other": [1, 2]}
    bound = parse_arguments(MAKE, [*words, "wait=no", "defaults"], attached)
    assert bound == {"values": Values({**attached, **values}), "wait": False, "against": "defaults"}


def test_rights_are_asked_before_anything_is_done() -> None:
    """Who may only look cannot cancel, and the answer says so; a wrong command is an answer too."""
    session = Session(connect("http://127.0.0.1:1"), "eve", permissions=frozenset({"look"}))
    refused = execute(session, ["cancel", "first"])
    assert refused.code == NOT_FOUND
    assert "eve may not give the command `cancel`" in refused.text
    assert "cancel" not in {made["name"] for made in execute(session, ["help"]).data}
    assert execute(session, ["frobnicate"]).code == NOT_FOUND
    assert execute(session, ["status"]).code == NOT_FOUND, "nobody answers at that address"
    assert "takes the right to 'run'" in execute(session, ["params", "check"]).text
    assert execute(session, ["params", "show", "x"]).code == BAD_PARAMETERS


def test_help_explains_a_command() -> None:
    """`help cancel` says how it is written, what it does and what else it is called."""
    told = execute(Session(connect("http://127.0.0.1:1"), "ada"), ["help", "cancel run"])
    assert "cancel RUN [why=...]" in told.text
    assert "stop run" in told.text
    assert told.data["name"] == command_named("cancel").name


def test_a_batch_is_several_sets() -> None:
    """A list in a file is a batch; a set begins with the values of the one before, and words are for all of them."""
    values = parse_arguments(MAKE, ["mip=1"], [{"output": "a", "x": 1}, {"output": "b"}, {"output": "c", "x": 2}])[
        "values"
    ]
    assert [dict(found) for found in parameter_sets(values)] == [
        {"output": "a", "x": 1, "mip": 1},
        {"output": "b", "x": 1, "mip": 1},
        {"output": "c", "x": 2, "mip": 1},
    ]
    with pytest.raises(ParameterErrors, match="set 2: got 3"):
        parse_arguments(MAKE, [], [{}, 3])  # type: ignore[list-item]
    with pytest.raises(ParameterErrors, match="list of sets is empty"):
        parse_arguments(MAKE, [], [])
    assert "is for `run`" in execute(Session(connect("http://127.0.0.1:1"), "ada"), ["plan"], [{}, {}]).text
