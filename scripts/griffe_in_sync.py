"""For the site's reference: `result_sync = in_sync(result)` is shown as the method that it is, with its signature."""

import griffe


class InSync(griffe.Extension):
    """Sees the class of each method, once its members are known."""

    def on_class_members(self, *, cls: griffe.Class, **_: object) -> None:
        """Put a function in the place of each such attribute."""
        for name, member in list(cls.members.items()):
            waited = cls.members.get(name.removesuffix("_sync"))
            if isinstance(waited, griffe.Function) and str(getattr(member, "value", "")) == f"in_sync({waited.name})":
                cls.set_member(name, _in_sync(name, waited, member.lineno))


def _in_sync(name: str, waited: griffe.Function, line: int | None) -> griffe.Function:
    made = griffe.Function(name, parameters=waited.parameters, returns=waited.returns, lineno=line, endlineno=line)
    made.docstring = griffe.Docstring(f"`{waited.name}` from synchronous code.", parent=made)
    return made
