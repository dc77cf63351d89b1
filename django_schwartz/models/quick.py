"""Model instances made several times faster than Django makes them, out of keywords alone."""

from functools import cache
from typing import Any, NamedTuple

from django.db import models
from django.db.models.base import ModelState
from django.db.models.signals import post_init, pre_init

#: Django's ModelState but for its `__del__`, which in Django 6.1 makes a cache only to empty it: in
#: half the time that all else of an instance takes.
QuickState: Any = type(
    "QuickState",
    (),
    {
        "__module__": __name__,
        **{
            name: value
            for name, value in vars(ModelState).items()
            if name not in ("__del__", "__dict__", "__weakref__", "__module__")
        },
    },
)


class QuicklyMade(models.Model):
    """For a model that is made by the thousand.

    What Django's constructor does for keywords that are columns comes to setting attributes. All
    else goes to that one: positional values, relations, unknown keywords, receivers of its signals.
    """

    #: Properties that the constructor takes, with the attribute that each sets.
    quick_properties: dict[str, str] = {}

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        recipe = None if args else _recipe_of(type(self))
        if recipe is None or not recipe.takes.issuperset(kwargs) or is_watched(type(self)):
            super().__init__(*args, **kwargs)
            return
        attributes = self.__dict__
        attributes["_state"] = QuickState()
        attributes.update(recipe.defaults)
        attributes.update(kwargs)
        for name, attribute in self.quick_properties.items():
            if name in kwargs:
                attributes[attribute] = attributes.pop(name)


class Recipe(NamedTuple):
    defaults: dict[str, Any]
    takes: frozenset[str]


@cache
def _recipe_of(model: type[QuicklyMade]) -> Recipe | None:
    """What an instance is made of; None where the columns' defaults are not the same for all."""
    fields = model._meta.concrete_fields
    if any(callable(field.default) for field in fields if field.has_default()):
        return None
    defaults = {field.attname: field.get_default() for field in fields}
    return Recipe(defaults, frozenset({*defaults, *model.quick_properties}))


def is_watched(model: type[QuicklyMade]) -> bool:
    """Whether anybody is told of each instance that is made."""
    if not (pre_init.receivers or post_init.receivers):
        return False
    return pre_init.has_listeners(model) or post_init.has_listeners(model)
