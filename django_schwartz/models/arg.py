"""The arg of a job: bytes in the database, a value in Python, decoded when first asked for."""

from typing import Any, Protocol

from django.db import models

from django_schwartz.serializers import decode_arg, encode_arg
from django_schwartz.worker import Worker, registry


class HasArg(Protocol):
    """A row with an arg, of the function whose worker says how that is stored."""

    pk: Any
    _state: models.base.ModelState
    #: Its function's, where that is known already.
    worker: type[Worker] | None

    @property
    def funcname(self) -> str: ...


def _value_of(instance: HasArg) -> object:
    """The arg's value. Bytes are its stored form, whoever sets them, as in Perl."""
    attributes = instance.__dict__
    value = attributes["arg"] if "arg" in attributes else _at_hand(instance)
    if isinstance(value, bytes):
        attributes.setdefault("arg_as_read", value)  # what there was before anything was done to it
        attributes["arg"] = value = decode_arg(value, arg_format_of(instance))
    return value


def _replace_value(instance: HasArg, value: object) -> None:
    attributes = instance.__dict__
    if "arg" in attributes:
        attributes.setdefault("arg_as_read", attributes["arg"])
    attributes["arg"] = value


class ArgField(models.BinaryField):  # type: ignore[type-arg]
    """The column `arg`: bytes as the function's worker stores them. See serializers."""

    def contribute_to_class(
        self, cls: type[models.Model], name: str, private_only: bool = False
    ) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, name, property(_value_of, _replace_value))

    def from_db_value(self, value: Any, *args: object) -> bytes | None:
        if type(value) is bytes:
            return value
        if isinstance(value, str | int | float):  # SQLite keeps whatever SQL put there
            return str(value).encode()
        return None if value is None else bytes(value)

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        return bytes(value) if isinstance(value, memoryview) else value

    def get_prep_value(self, value: Any) -> Any:
        return value if hasattr(value, "resolve_expression") else encode_arg(value)

    def pre_save(self, model_instance: Any, add: bool) -> bytes | None:
        return stored_arg(model_instance)

    def value_from_object(self, obj: Any) -> bytes | None:
        return stored_arg(obj)


def stored_arg(instance: HasArg) -> bytes | None:
    """The stored form of the arg; one never asked for stays as it was. Raises TypeError."""
    return _encoded(instance, _at_hand(instance))


def arg_as_read(instance: HasArg) -> bytes | None:
    """The stored form that the arg had before anybody decoded or replaced it."""
    value = _at_hand(instance)
    return _encoded(instance, instance.__dict__.get("arg_as_read", value))


def bytes_as_read(instance: HasArg) -> int:
    """The size of the arg that was read from the database, whoever has decoded it since."""
    attributes = instance.__dict__
    return len(attributes.get("arg_as_read", attributes["arg"]) or b"")


def is_arg_changed(instance: HasArg) -> bool:
    """Whether the arg is another value than was read from the database."""
    attributes = instance.__dict__
    if "arg_as_read" not in attributes:
        return False
    return bool(
        _decoded(instance, attributes["arg"]) != _decoded(instance, attributes["arg_as_read"])
    )


def _at_hand(instance: HasArg) -> object:
    """The arg as the instance holds it; one that was deferred is read now.

    Not by refresh_from_db: what that sets is decoded, and its stored form is lost.
    """
    attributes = instance.__dict__
    if "arg" not in attributes:
        model: Any = type(instance)
        rows = model._base_manager.using(instance._state.db)
        attributes["arg"] = rows.values_list("arg", flat=True).get(pk=instance.pk)
    return attributes["arg"]


def _encoded(instance: HasArg, value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return encode_arg(value, arg_format_of(instance))


def _decoded(instance: HasArg, value: object) -> object:
    return decode_arg(value, arg_format_of(instance)) if isinstance(value, bytes) else value


def arg_format_of(instance: HasArg) -> str:
    return (instance.worker or registry.get(instance.funcname)).arg_format
