"""What a client can do: the functions whose jobs it performs."""

from django_schwartz.databases import Databases
from django_schwartz.models import FuncMap
from django_schwartz.worker import Worker, registry

#: A worker class, or its funcname.
Ability = str | type[Worker]


class Abilities:
    """The functions whose jobs are performed, and those of them that are looked for now."""

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self.all_abilities: list[str] = []
        self.current_abilities: list[str] = []
        self._looked_up: set[tuple[str, int]] | None = None

    def can_do(self, worker: Ability) -> None:
        """Announce that this client performs a worker's jobs. Raises UnknownFunction."""
        funcname = registry[name_of(worker)].funcname
        self.all_abilities.append(funcname)
        self.current_abilities.append(funcname)

    def abilities(self, *, is_async: bool | None = None) -> list[str]:
        """The names of all abilities, or of those whose work() is a coroutine, or is none."""
        names = dict.fromkeys(self.all_abilities)
        return [name for name in names if is_async in {None, registry.get(name).is_async()}]

    def can_do_all(self) -> None:
        """Announce all workers that are registered, and by look_for_abilities() all to come."""
        self._looked_up = set()
        self.look_for_abilities()

    def look_for_abilities(self) -> None:
        """Announce the functions that came into the databases and that a worker is found for."""
        if self._looked_up is None:
            return
        # Without a finder no function's name tells of a worker.
        aliases = list(self.databases.aliases) if registry.finders else []
        for alias in filter(self.databases.lives, aliases):
            with self.databases.failing_over(alias, revives=False):
                self._find_workers(alias, self._looked_up)
        self.can_do_registered()

    def can_do_registered(self) -> None:
        """Announce all workers that are registered, and ask no database."""
        for worker in registry:
            if worker.funcname not in self.all_abilities:
                self.can_do(worker)

    @staticmethod
    def _find_workers(alias: str, looked_up: set[tuple[str, int]]) -> None:
        for funcid, funcname in FuncMap.objects.using(alias).values_list("pk", "funcname"):
            if (alias, funcid) not in looked_up:
                looked_up.add((alias, funcid))
                registry.find(funcname)

    def make_functions(self) -> None:
        """Give each ability its row in every database, so that no dispatch has to make one."""
        for alias in self.databases.in_random_order():
            self.make_functions_in(alias)

    def make_functions_in(self, alias: str) -> None:
        with self.databases.failing_over(alias):
            FuncMap.objects.get_or_make_all(self.all_abilities, using=alias)

    def reset_abilities(self) -> None:
        """Forget every ability."""
        self.all_abilities, self.current_abilities = [], []

    def temporarily_remove_ability(self, worker: Ability) -> None:
        """Look for other jobs first, until there are none or no ability is left."""
        name = name_of(worker)
        self.current_abilities = [ability for ability in self.current_abilities if ability != name]
        if not self.current_abilities:
            self.restore_full_abilities()

    def restore_full_abilities(self) -> None:
        self.current_abilities = list(self.all_abilities)


def name_of(worker: Ability) -> str:
    """Raises TypeError for what is neither."""
    name: object = worker if isinstance(worker, str) else getattr(worker, "funcname", None)
    if not isinstance(name, str):
        raise TypeError(f"A function is told by its funcname or its Worker class, not {worker!r}.")
    return name
