from django.apps import AppConfig


class MailingListConfig(AppConfig):
    name = "mailinglist"
    verbose_name = "Mailing list"

    def ready(self) -> None:
        from django_schwartz import register

        from . import signals  # noqa: F401  (connects the receivers)
        from .workers import Broadcast, Deliver, Welcome

        register(Welcome)
        register(Broadcast)
        register(Deliver)
