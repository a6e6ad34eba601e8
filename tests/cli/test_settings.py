"""Settings that decide how a program behaves as a whole."""

import json

import pytest
from processes import boltq_command, clean_environment, running

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
