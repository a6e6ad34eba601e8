"""Reading the words of a command line. What follows an option may begin with `-`: tokens, keys and texts do."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, Final, NoReturn

_HOW: Final = "; a value that begins with - is written --option=-value, and after -- every word may begin with -"
_MARK: Final = "\0"  # no word of a command line has it


class Parser(argparse.ArgumentParser):
    """Takes any word behind an option that wants one, and behind `--`; says how where it does not understand one."""

    _odd = False  # there is a word that begins with - and is neither an option nor a value

    def words(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments. Options may stand between the words; argparse can do that only without subcommands."""
        ours = joined(self, words)
        odd = any(word.startswith("-") and _is_a_value(_options_of(self, ours), word) for word in ours)
        for parser in _parsers(self):
            parser._odd = odd  # noqa: SLF001 - of another parser
        try:
            found = self.parse_intermixed_args(ours)
        except TypeError:
            found = self.parse_args(ours)
        return argparse.Namespace(**{name: _unmarked(value) for name, value in vars(found).items()})

    def error(self, message: str) -> NoReturn:
        """Complain, and end."""
        about = "expected one argument" in message or "unrecognized arguments: -" in message or self._odd
        super().error(message + _HOW * about)


def joined(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The words with each option's value behind a `=`, where it looks like an option; those after `--` are marked."""
    end = words.index("--") if "--" in words else len(words)
    options, made = _options_of(parser, words[:end]), list[str]()
    for word in words[:end]:
        if made and _wants(options, made[-1]) and _is_a_value(options, word):
            made[-1] = f"{made[-1]}={word}"
        else:
            made.append(word)
    return made + [f"{_MARK}{word}" for word in words[end + 1 :]]


def _parsers(parser: argparse.ArgumentParser) -> Iterator[Parser]:
    """A command's parser, and those of its subcommands: any of them may complain."""
    if isinstance(parser, Parser):
        yield parser
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                yield from _parsers(inner)


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(one) for one in value]
    return value.removeprefix(_MARK) if isinstance(value, str) else value


def _options_of(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, argparse.Action]:
    """The options of a command, and of the subcommand that is named."""
    found: dict[str, Any] = dict(parser._option_string_actions)  # noqa: SLF001 - argparse has no public list of them
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            named = next((word for word in words if word in action.choices), None)
            found |= _options_of(action.choices[named], words[words.index(named) + 1 :]) if named else {}
    return found


def _wants(options: dict[str, argparse.Action], word: str) -> bool:
    """Whether a word is an option, perhaps shortened, that takes one value."""
    names = [word] if word in options else [name for name in options if word[:2] == "--" and name.startswith(word)]
    return len(names) == 1 and options[names[0]].nargs is None and names[0].startswith("--")


def _is_a_value(options: dict[str, argparse.Action], word: str) -> bool:
    """Whether a word begins with `-` and is no option."""
    name = word.partition("=")[0]
    known = any(option == name or (name[:2] == "--" and option.startswith(name)) for option in options)
    return word.startswith("-") and len(word) > 1 and word != "--" and not known
