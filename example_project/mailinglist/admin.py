from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Delivery, Mailing, MailingQuerySet, Subscriber


@admin.register(Subscriber)
class SubscriberAdmin(admin.ModelAdmin):
    list_display = ["email", "name", "joined", "welcomed"]
    search_fields = ["email", "name"]
    readonly_fields = ["joined", "welcomed"]


@admin.register(Mailing)
class MailingAdmin(admin.ModelAdmin):
    list_display = ["subject", "created", "progress"]
    actions = ["send"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailing]:
        return super().get_queryset(request).with_progress()

    @admin.display
    def progress(self, mailing: Mailing) -> str:
        if not mailing.recipients:
            return "not sent"
        return (
            f"{mailing.delivered} delivered, {mailing.rejected} rejected, "
            f"{mailing.queued} queued of {mailing.recipients}"
        )

    @admin.action(description="Send to all subscribers", permissions=["change"])
    def send(self, request: HttpRequest, queryset: MailingQuerySet) -> None:
        for mailing in queryset:
            handle = mailing.send()
            how = "is queued already as" if handle.is_duplicate else "is now queued as"
            self.message_user(request, f"“{mailing}” {how} job {handle}.", messages.SUCCESS)


@admin.register(Delivery)
class DeliveryAdmin(admin.ModelAdmin):
    list_display = ["mailing", "subscriber", "state", "attempts", "reply", "last_attempt"]
    list_filter = ["state", "mailing"]
    list_select_related = ["mailing", "subscriber"]
    search_fields = ["subscriber__email"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False
