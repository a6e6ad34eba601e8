"""Settings that decide how a program behaves as a whole."""

import json

import pytest
from processes import boltq_command, clean_environment, running

from boltq.cli import main
from boltq.settings import BadSetting, Settings


@pytest.mark.parametrize(
    ("name", "production"),
    [("dev", False), ("development", False), ("prod", True), ("production", True), (" prod ", True), ("", False)],
)
def test_each_name_of_an_environment_means_what_it_says(name, production):
    assert Settings.from_env({"ENVIRONMENT": name}).in_production is production


def test_without_a_name_it_is_development():
    assert Settings.from_env({}).environment == "development"


@pytest.mark.parametrize("name", ["PROD", "Production", "staging", "test", "prod,dev", "1", "x" * 1_000])
def test_any_other_environment_is_refused_with_those_that_there_are(name):
    with pytest.raises(
        BadSetting, match=r"ENVIRONMENT=.*must be one of dev, development, prod, production$"
    ) as refused:
        Settings.from_env({"ENVIRONMENT": name})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", ["BOLTQ_NAMESPACE", "BOLTQ_QUEUES", "REDIS_ADDR", "BOLTQ_URL", "BOLTQ_LOG_LEVEL"])
@pytest.mark.parametrize("text", ["a\udcff", "\ud800", "a\0b"])
def test_what_is_no_text_is_no_setting(name, text):
    """Bytes of the environment that are not UTF-8 come as halves of characters."""
    with pytest.raises(BadSetting, match=f"^{name}: is not UTF-8"):
        Settings.from_env({name: text})


def test_a_folder_may_have_any_name():
    assert Settings.from_env({"BOLTQ_DATA": "a\udcff"}).data_path.name == "a\udcff"


@pytest.mark.parametrize("text", ["a b", "a:b", "a{b}", "-a", "a" * 101, "ä"])
def test_namespaces_and_queues_are_names(text):
    """A worker would serve a queue to which nobody can submit."""
    with pytest.raises(BadSetting, match=r"^BOLTQ_NAMESPACE: .* is not a name"):
        Settings.from_env({"BOLTQ_NAMESPACE": text})
    with pytest.raises(BadSetting, match=r"^BOLTQ_QUEUES: .* is not a name"):
        Settings.from_env({"BOLTQ_QUEUES": f"good, {text}"})


@pytest.mark.parametrize("name", ["BOLTQ_KEEP_COMPLETED_HOURS", "BOLTQ_KEEP_DEAD_DAYS", "BOLTQ_KEEP_KEYS_HOURS"])
@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e400"])
def test_every_number_has_a_range(name, text):
    with pytest.raises(BadSetting, match=f"^{name}="):
        Settings.from_env({name: text})


@pytest.mark.parametrize("name", ["namespace", "queues"])
def test_what_the_command_line_says_of_them_is_checked_too(name):
    with pytest.raises(BadSetting):
        Settings.from_env({}, **{name: "a b"})


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "echo", "message=Gr\udcfc\udcdfe"],
        ["submit", "\udcff"],
        ["status", "a\udcff"],
        ["cancel", "a\udcff", "--reason", "x"],
        ["jobs", "--type", "a\udcff"],
        ["logs", "a\udcff"],
        ["workflow", "show", "a\udcff"],
        ["dead", "show", "a\udcff"],
        ["keys", "revoke", "a\udcff"],
    ],
)
def test_a_word_that_is_not_utf8_is_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "as_json"), [("dev", False), ("prod", True)])
def test_in_production_log_lines_are_json(tmp_path, name, as_json):
    with running(boltq_command("api", "--port", "0"), tmp_path, clean_environment(ENVIRONMENT=name)) as api:
        api.wait_for(r"listens on")
        line = next(line for line in api.output.splitlines() if "the store: the embedded Valkey" in line)
        assert line.startswith("{") is as_json
        if as_json:
            assert "the embedded Valkey" in json.loads(line)["message"]
        api.terminate()
        assert api.wait() == 0


def test_a_command_says_what_is_wrong_with_it(tmp_path):
    with running(boltq_command("api", "--port", "0"), tmp_path, clean_environment(ENVIRONMENT="staging")) as api:
        assert api.wait() == 2
        assert "ENVIRONMENT=staging: must be one of dev, development, prod, production" in api.output
