"""What is said to the bot and what it answers, wherever it speaks."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from counting import Counting
from hypothesis import given
from hypothesis import strategies as st
from small_runs import smooth, store

from seuron.bot import Attachment, Conversation, Message, Permissions, read_permissions
from seuron.bot.message_parser import parse_message
from seuron.bot.permissions import ALL
from seuron.bot.session_store import SessionStore
from seuron.client import DeploymentClient, RunHandle
from seuron.commands import Answer, Session
from seuron.commands.batches import run_in_sequence
from seuron.engine.run import Run
from seuron.errors import ParameterErrors, UnreachableError
from seuron.pipelines.segmentation.params import SegmentationParams

ADA, EVE, LAB, OTHER = "UADA00001", "UEVE00001", "C0LAB0001", "C0OTHER01"
EVERYTHING = Permissions(everybody=tuple(sorted(ALL)))  # type: ignore[arg-type]


@pytest.fixture
def talk(deployment: DeploymentClient) -> Conversation:
    return Conversation(deployment, EVERYTHING)


def tell(talk: Conversation, text: str, user: str = ADA, channel: str = LAB, files: Any = ()) -> Answer:
    return talk.answer(Message(text, user, channel, attached=files))


def json_file(value: Any) -> list[Attachment]:
    return [Attachment("p.json", json.dumps(value).encode())]


def test_please_is_allowed_and_not_needed(talk: Conversation) -> None:
    """Those who know the old bot say please, in any case, with a question mark; it is the same command."""
    for text in ("states", "please states", "Please, show states?", "STATES!"):
        assert tell(talk, text).text == tell(talk, "states").text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("stauts first", "status"),
        ("cancle run first", "cancel run"),
        ("update parameters chunk_szie=64,64,64", "`chunk_size`"),
        ("runs activ=yes", "`active`"),
    ],
)
def test_what_is_nearly_right_gets_a_hint(talk: Conversation, text: str, hint: str) -> None:
    """A slip in a command or a key is answered with what was probably meant, and does nothing."""
    answer = tell(talk, text)
    assert answer.failed
    assert "did you mean" in answer.text
    assert hint in answer.text


def test_nothing_said_is_a_question_for_help(talk: Conversation) -> None:
    """Who only calls the bot learns what it can do."""
    assert tell(talk, "  ").text == tell(talk, "help").text


def test_a_changed_value_is_shown_before_and_after(talk: Conversation) -> None:
    """Who changes a value sees what it was, and `null` takes it out again."""
    assert tell(talk, "update parameters mip=1").text == "mip: - -> 1"
    assert tell(talk, "update parameters mip=2").text == "mip: 1 -> 2"
    shown = tell(talk, "show parameters")
    assert shown.data["mip"] == 2
    assert "* mip" in shown.text
    assert tell(talk, "update parameters mip=null").text == "mip: 2 -> -"


def test_people_and_channels_do_not_touch(talk: Conversation) -> None:
    """What one person sets in one channel holds for nobody else and nowhere else."""
    tell(talk, "update parameters mip=1")
    tell(talk, "update parameters mip=2", user=EVE)
    tell(talk, "update parameters mip=3", channel=OTHER)
    found = [tell(talk, "show parameters", u, c).data["mip"] for u, c in ((ADA, LAB), (EVE, LAB), (ADA, OTHER))]
    assert found == [1, 2, 3]


Changes = st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers(0, 3), max_size=4)


@given(st.lists(Changes, max_size=6), st.lists(Changes, max_size=6))
def test_changes_of_messages_at_once_all_stay(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    """Messages of one person that overlap each take back what they changed and nothing else."""
    sessions = SessionStore()

    def change(copy: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in {**copy, **changes}.items() if value is not None}

    expected: dict[str, Any] = {}
    for one, other in zip(first, second, strict=False):
        copies = sessions.parameters(ADA, LAB), sessions.parameters(ADA, LAB)
        for copy, changes in zip(copies, (one, other), strict=True):
            after = change(copy, changes)
            sessions.change(ADA, LAB, copy, after)
            changed = {n: after.get(n) for n in {*copy, *after} if copy.get(n) != after.get(n)}
            expected = change(expected, changed)
    assert sessions.parameters(ADA, LAB) == expected


def test_what_is_kept_outlives_the_bot(tmp_path: Path) -> None:
    """A bot that is restarted knows what people had set; no file is called what a user chose."""
    SessionStore(tmp_path).change("../../evil", LAB, {}, {"mip": 1})
    assert SessionStore(tmp_path).parameters("../../evil", LAB) == {"mip": 1}
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_json_may_come_in_three_ways() -> None:
    """Behind the words, in a block, or as a file: the same parameters, and the same words."""
    values = {"mip": 1, "chunk_size": [64, 64, 64]}
    text = json.dumps(values, indent=1)
    for parsed in (
        parse_message(f"run segmentation {text}"),
        parse_message(f"run segmentation\n```json\n{text}\n```"),
        parse_message(f"run segmentation ```{text}```"),
        parse_message("run segmentation", json_file(values)),
    ):
        assert (parsed.words, parsed.values, parsed.batch) == (("run", "segmentation"), values, None)


@pytest.mark.parametrize(
    ("text", "files", "problem"),
    [
        ("run segmentation", [Attachment("p.py", b"import os")], "p.py is not JSON"),
        ("run segmentation", [Attachment("p.json", b'{"mip": 1, "mip": 2}')], "mip is given twice"),
        ("run segmentation", [Attachment("p.json", b"[1, 2]")], "holds a list of other things"),
        ("run segmentation", [Attachment("p.json", b"7")], "holds a int"),
        ("run segmentation", [Attachment("p.json", b"[" * 200_000)], "is not JSON"),
        ("run segmentation {}", [Attachment("p.json", b"{}")], "came 2 times"),
        ("run segmentation", [Attachment("p.json", b" " * 2_000_000)], "at most 1000000"),
        ('cancel first why="wrong', [], "not closed"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, files: list[Attachment], problem: str) -> None:
    """A file that is no set of parameters is named with what is wrong, and nothing of it is run."""
    with pytest.raises(ParameterErrors, match=problem):
        parse_message(text, files)


def test_apostrophes_and_curly_quotes_are_words() -> None:
    """People write as they speak, and chats change their quotes."""
    assert parse_message("cancel first why=“wrong threshold”").words == ("cancel", "first", "why=wrong threshold")
    assert parse_message("cancel first why='wrong threshold'").words == ("cancel", "first", "why=wrong threshold")
    assert parse_message("cancel first why=it's").words == ("cancel", "first", "why=it's")


@pytest.mark.parametrize("word", ["mip=" + "9" * 5000, "mip=" + "[" * 5000, "[" * 5000, "{" * 5000])
def test_no_word_is_too_strange(talk: Conversation, word: str) -> None:
    """Numbers and nestings that no parameter has are refused as any wrong value is."""
    assert tell(talk, f"update parameters {word}").failed


@given(st.text(max_size=60))
def test_any_words_get_an_answer(text: str) -> None:
    """Nothing that is said breaks the bot: there is an answer, or a refusal in words."""
    talk = Conversation(DeploymentClient("http://127.0.0.1:9"), Permissions(everybody=()))
    assert tell(talk, text).text


class TestBatches:
    """A list of parameter sets."""

    @pytest.fixture
    def volume(self, tmp_path: Path) -> str:
        return store(tmp_path / "affinities", smooth((16, 16, 16), 3))

    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The folders of the runs that a deployment was asked to start; each start fails, as nothing runs there."""
        found: list[str] = []

        def run(deployment: DeploymentClient, params: SegmentationParams) -> RunHandle:
            found.append(params.output)
            raise UnreachableError(f"nothing runs {Path(params.output).name}")

        monkeypatch.setattr(DeploymentClient, "run", run)
        return found

    def test_it_is_checked_whole(self, volume: str, tmp_path: Path, started: list[str]) -> None:
        """One wrong set in a batch, wherever it is, and nothing starts; all that is wrong is said at once."""
        talk = Conversation(DeploymentClient(), EVERYTHING)  # this machine's: volumes are checked
        good = {"affinities": volume, "output": str(tmp_path / "a")}
        batch = [good, {"output": str(tmp_path / "b"), "agglomeration_threshold": 9}, {"chunk_szie": 1}]
        answer = tell(talk, "run segmentation", files=json_file(batch))
        assert started == []
        assert answer.code == 2
        for problem in ("set 2: `agglomeration_threshold`", "set 3: `chunk_szie` is not a parameter; did you mean"):
            assert problem in answer.text
        twice = tell(talk, "run segmentation", files=json_file([good, {"agglomeration_threshold": 0.3}]))
        assert "2 sets write to" in twice.text
        assert started == []

    def test_its_runs_come_one_after_the_other(self, volume: str, tmp_path: Path, started: list[str]) -> None:
        """Each set is a run of its own; words hold for all; one that fails does not keep the next from starting."""
        talk, progress = Conversation(DeploymentClient(), EVERYTHING), list[str]()
        outputs = [str(tmp_path / name) for name in ("a", "b", "c")]
        message = Message(
            f"run segmentations affinities={volume}", ADA, LAB, attached=json_file([{"output": o} for o in outputs])
        )
        answer = talk.answer(message, lambda told: progress.append(told.text))
        assert started == outputs
        assert answer.text.splitlines() == ["1. nothing runs a", "2. nothing runs b", "3. nothing runs c"]
        assert answer.code == 1

    def test_a_cancelled_run_ends_it(self, deployment: DeploymentClient) -> None:
        """Who cancels a run of a batch does not want the next one to begin; what was done before stays in sight."""
        session, progress = Session(deployment, "ada"), list[str]()
        session.on_progress = lambda told: progress.append(told.text)

        def run(text: str, code: int) -> Answer:
            session.progress(Answer("at work"))
            return Answer(text, code=code)

        runs = [("good", 0), ("failed", 1), ("cancelled", 3), ("never", 0)]
        answer = run_in_sequence(session, [partial(run, text, code) for text, code in runs])
        assert answer.text == "1. good\n2. failed\n3. cancelled\n1 not started, as the one before was ended by a person"
        assert progress[-1] == "1. good\n2. failed\n3 of 4: at work"
        assert answer.code == 1

    def test_it_is_for_runs(self, talk: Conversation, deployment: DeploymentClient, started: list[str]) -> None:
        """Other commands take one set, and say so; who may not run may not run many."""
        assert "set" in tell(talk, "plan", files=json_file([{}, {}])).text
        looking = Conversation(deployment, Permissions())
        assert "takes the right to 'run'" in tell(looking, "run segmentation", files=json_file([{}])).text
        assert started == []


class TestPermissions:
    """Who may do what."""

    def test_without_a_file_everybody_may_look_only(self, deployment: DeploymentClient, counting: Counting) -> None:
        """Nobody can start or end anything until somebody has said who may."""
        talk = Conversation(deployment, Permissions())
        assert not tell(talk, "presets").failed
        for text in ("count to 1", "cancel first", "update parameters mip=1", "scale cluster cpu 3"):
            answer = tell(talk, text)
            assert answer.failed
            assert f"{ADA} may not give the command" in answer.text
        assert counting.calls == []

    ids = st.sampled_from([ADA, EVE, "UBOB00001"])
    rules = st.lists(
        st.fixed_dictionaries(
            {
                "who": st.lists(ids, min_size=1, max_size=2),
                "where": st.lists(st.sampled_from([LAB, OTHER]), max_size=2),
                "may": st.lists(st.sampled_from(sorted(ALL)), min_size=1),
            }
        ),
        max_size=4,
    )

    @given(rules, rules, ids, st.sampled_from([LAB, OTHER, "D1"]))
    def test_rights_add_up(self, some: Any, more: Any, user: str, channel: str) -> None:
        """A rule more takes no right away, and gives only what it names, to whom it names, where it says."""
        before = Permissions.model_validate({"allow": some}).of(user, channel)
        after = Permissions.model_validate({"allow": some + more}).of(user, channel)
        given_by = {
            right
            for rule in more
            if user in rule["who"] and (not rule["where"] or channel in rule["where"])
            for right in rule["may"]
        }
        assert after == before | given_by

    def test_all_that_is_wrong_with_the_file_is_said_at_once(self, tmp_path: Path) -> None:
        """A typed file: slips are refused with what was meant, and a name is no id."""
        file = tmp_path / "bot.toml"
        file.write_text(
            'everbody = ["look"]\n[[allow]]\nwho = ["ada"]\nmay = ["run"]\n'
            '[[allow]]\nwheer = ["C1"]\nmay = ["rnu"]\n[[allow]]\nmay = ["run"]\n'
        )
        with pytest.raises(ParameterErrors) as wrong:
            read_permissions(file)
        text = str(wrong.value)
        for part in ("did you mean `everybody`", "`allow[1].who`", "did you mean `where`", "`allow[2].may[1]`"):
            assert part in text
        assert "`allow[3]`: a rule needs `who` or `where`" in text

    def test_the_file_of_the_documentation_is_right(self) -> None:
        """The example can be copied as it is."""
        found = read_permissions(Path(__file__).parents[2] / "docs" / "bot.example.toml")
        assert found.of("U024BE7LH", "C061EG9SL") == {"look", "run"}


def test_several_at_once_are_served(talk: Conversation, counting: Counting) -> None:
    """A long command blocks nobody: another message is answered while it is running."""
    told = threading.Event()
    message = Message("count to 1", ADA, LAB, name="Ada")
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(talk.answer(message, lambda _: told.set())))
    thread.start()
    assert told.wait(10)
    assert tell(talk, "update parameters mip=1").text == "mip: - -> 1"
    counting.go_on.release()
    thread.join(10)
    assert answers[0].text == "1 is all"
    assert counting.calls == [("Ada", 1)]
    assert tell(talk, "show parameters").data["mip"] == 1


def test_a_run_is_summed_up(talk: Conversation, finished: Run, tmp_path: Path) -> None:
    """A few sentences say what a run made, how much work it was, how good it is and what went wrong."""
    answer = talk.answer(Message(f"how did it go {finished.output}", ADA, LAB), pictures=tmp_path / "pictures")
    assert answer.text.startswith("first is done: a segmentation of 24 x 20 x 16 voxels")
    for words in ("segments, from", "of work", "true objects", "adapted Rand error", "Nothing went wrong."):
        assert words in answer.text
    assert "```" not in answer.text
    assert {path.name for path in answer.pictures} >= {"segmentation.png", "segment-sizes.png"}
